package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	secretPrefix         = "whsec_"
	minSecret, maxSecret = 24, 64 // bytes, as Standard Webhooks has it
)

// errSecret is the only thing that is said of a bad secret: more would tell a part of it.
var errSecret = fmt.Errorf("a webhook secret must be %s and the base64 of %d to %d random bytes", secretPrefix, minSecret, maxSecret)

// Secret is the key that signs events. It never shows itself, however it is printed, logged or encoded. Its zero value
// signs nothing: [ParseSecret] makes the others.
type Secret struct{ key []byte }

// ParseSecret reads a secret: whsec_ and the base64 of 24 to 64 bytes. Its error does not repeat the text.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	// The text that receivers are given must mean the same to every decoder: one that Go alone reads, with line breaks or
	// stray bits at its end, is refused.
	if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret || base64.StdEncoding.EncodeToString(key) != encoded {
		return Secret{}, errSecret
	}
	return Secret{key}, nil
}

// sign returns the value of the header webhook-signature.
func (s Secret) sign(id string, at time.Time, payload []byte) (string, error) {
	if len(s.key) == 0 {
		return "", errors.New("no webhook secret")
	}
	hook, err := standardwebhooks.NewWebhookRaw(s.key)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	signature, err := hook.Sign(id, at, payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

const redacted = "[redacted]"

// Format prints a placeholder for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON encodes a placeholder.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
