package adapter

import (
	"errors"
	"net/url"
	"strings"
	"unicode"
)

// maxImageURL leaves room for a signed storage URL.
const maxImageURL = 4096

// CheckImageURL accepts what can be handed to clients: an absolute http(s) URL without credentials or characters that
// have to be escaped.
func CheckImageURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return errors.New("success without a picture")
	case err != nil:
		return errors.New("the picture's URL is none")
	case len(s) > maxImageURL:
		return errors.New("the picture's URL is too long")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("the picture's URL is no absolute http or https one")
	case u.User != nil:
		return errors.New("the picture's URL holds credentials")
	case strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar || strings.ContainsRune("<>\"\\`", r)
	}):
		return errors.New("the picture's URL holds characters that a URL cannot")
	}
	return nil
}
