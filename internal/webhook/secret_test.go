package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

func TestParseSecret(t *testing.T) {
	t.Parallel()
	bytesOf := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, n)) }
	cases := map[string]struct {
		text string
		ok   bool
	}{
		"24 bytes":                   {"whsec_" + bytesOf(24), true},
		"32 bytes":                   {"whsec_" + bytesOf(32), true},
		"64 bytes":                   {"whsec_" + bytesOf(64), true},
		"nothing":                    {"", false},
		"the prefix alone":           {"whsec_", false},
		"23 bytes":                   {"whsec_" + bytesOf(23), false},
		"65 bytes":                   {"whsec_" + bytesOf(65), false},
		"no prefix":                  {bytesOf(32), false},
		"the prefix in capitals":     {"WHSEC_" + bytesOf(32), false},
		"a public key":               {"whpk_" + bytesOf(32), false},
		"base64 for URLs":            {"whsec_" + strings.ReplaceAll(bytesOf(32), "+", "-"), false},
		"base64 without its padding": {"whsec_" + strings.TrimRight(bytesOf(32), "="), false},
		"no base64":                  {"whsec_correct horse battery staple, and so on", false},
		"a line break within":        {"whsec_" + bytesOf(32)[:8] + "\n" + bytesOf(32)[8:], false},
		"a line break at the end":    {"whsec_" + bytesOf(32) + "\n", false},
		"a stray bit":                {"whsec_" + strings.Repeat("A", 42) + "B=", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParseSecret(c.text)
			if (err == nil) != c.ok {
				t.Fatalf("error = %v", err)
			}
			if err != nil && len(c.text) > 10 && strings.Contains(err.Error(), c.text[6:16]) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestSecretNeverShowsItself(t *testing.T) {
	t.Parallel()
	s := secret(t)
	encoded, err := json.Marshal(map[string]any{"s": s, "c": webhook.Config{Secret: s}})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", slog.Any("s", s), slog.Any("c", webhook.Config{Secret: s}))
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", slog.Any("s", s), slog.Any("c", webhook.Config{Secret: s}))
	all := fmt.Sprintf("%v %+v %#v %s %x %q %d %v %+v %#v", s, s, s, s, s, s, s, webhook.Config{Secret: s}, &webhook.Config{Secret: s},
		webhook.Config{Secret: s}) + string(encoded) + logged.String()
	key, err := base64.StdEncoding.DecodeString(secretText[6:])
	if err != nil {
		t.Fatal(err)
	}
	raw := string(key)
	for _, part := range []string{
		secretText[6:], raw, hex.EncodeToString(key), strings.Trim(fmt.Sprintf("%d", key), "[]"), strings.Trim(fmt.Sprintf("%#v", key), "[]byte{}"),
	} {
		if strings.Contains(all, part) {
			t.Errorf("the secret is shown: %s", all)
		}
	}
}

func TestNewSenderNeedsASecret(t *testing.T) {
	t.Parallel()
	if _, err := webhook.NewSender(webhook.Config{}); err == nil {
		t.Error("a sender signs with nothing")
	}
}
