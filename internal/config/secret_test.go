package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

func TestSecretNeverShows(t *testing.T) {
	t.Parallel()
	const value = "hunter2"
	cfg := config.API{Keys: []config.Secret{value}, Common: config.Common{RedisURL: value}}
	var logs bytes.Buffer
	slog.New(slog.NewJSONHandler(&logs, nil)).LogAttrs(t.Context(), slog.LevelInfo, "settings", slog.Any("key", cfg.Keys[0]), slog.Any("all", cfg))
	slog.New(slog.NewTextHandler(&logs, nil)).LogAttrs(t.Context(), slog.LevelInfo, "settings", slog.Any("key", cfg.Keys[0]), slog.Any("all", cfg))
	encoded, err := json.Marshal(cfg) //nolint:musttag // what is encoded by mistake has no tags
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{logs.String(), string(encoded), cfg.RedisURL.String(), cfg.RedisURL.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, cfg.RedisURL), fmt.Sprintf(verb, cfg), fmt.Sprintf(verb, &cfg))
	}
	for _, s := range shown {
		if strings.Contains(s, value) || strings.Contains(s, fmt.Sprintf("%x", value)) {
			t.Errorf("the secret shows: %s", s)
		}
		if !strings.Contains(s, "[redacted]") {
			t.Errorf("the placeholder is missing: %s", s)
		}
	}
	if got := cfg.RedisURL.Value(); got != value {
		t.Errorf("Value() = %q, want %q", got, value)
	}
}
