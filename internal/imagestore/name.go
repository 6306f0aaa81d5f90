package imagestore

import (
	"crypto/rand"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// randomChars is the length of rand.Text: 130 random bits.
const randomChars = 26

// NewName returns a name for a new picture, which holds 130 random bits and ends with the extension of f.
func NewName(f picture.Format) string { return strings.ToLower(rand.Text()) + f.Extension() }

// ValidName reports whether name has the form that [NewName] makes. Names come from outside: nothing else ever reaches
// the bucket.
func ValidName(name string) bool {
	_, ok := formatOf(name)
	return ok
}

// formatOf returns the format that a valid name stands for.
func formatOf(name string) (picture.Format, bool) {
	if len(name) <= randomChars {
		return "", false
	}
	for _, c := range []byte(name[:randomChars]) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return "", false
		}
	}
	for _, f := range picture.Formats() {
		if name[randomChars:] == f.Extension() {
			return f, true
		}
	}
	return "", false
}
