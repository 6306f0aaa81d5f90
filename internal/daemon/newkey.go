package daemon

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

// keyBytes is how much of a client key is chance.
const keyBytes = 32

// NewKey makes a client key and writes to out the key and what to put into CONFIG_FILE. The name is checked already.
func NewKey(out io.Writer, name string) error {
	random := make([]byte, keyBytes)
	_, _ = rand.Read(random) // it never fails
	key := "sk-" + base64.RawURLEncoding.EncodeToString(random)
	_, err := fmt.Fprintf(out, `Key for %s. It is shown this once and kept nowhere: hand it on now.

  %s

Put this under keys: in CONFIG_FILE and restart the api. Its limits (models, rpm, max_pending, images_per_day) go there too.

  %s
`, name, key, config.KeyEntry(name, sha256.Sum256([]byte(key))))
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	return nil
}
