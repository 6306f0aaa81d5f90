package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// ownerBytes is how much of a key's digest names its owner: enough that no two keys meet.
const ownerBytes = 16

// keyring holds digests of the client keys. Digests are of one length, so comparing them tells nothing about a key's.
type keyring [][sha256.Size]byte

func newKeyring(keys []string) (keyring, error) {
	ring := make(keyring, 0, len(keys))
	for _, k := range keys {
		if k == "" {
			return nil, errors.New("a client key is empty")
		}
		ring = append(ring, sha256.Sum256([]byte(k)))
	}
	if len(ring) == 0 {
		return nil, errors.New("at least one client key is required")
	}
	return ring, nil
}

// owner returns who presents the key. It looks at every key whichever fits, so that time tells nothing.
func (k keyring) owner(presented string) (string, bool) {
	digest := sha256.Sum256([]byte(presented))
	found := 0
	for i := range k {
		found |= subtle.ConstantTimeCompare(digest[:], k[i][:])
	}
	return hex.EncodeToString(digest[:ownerBytes]), found == 1
}

// authenticate lets only requests with a key through.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := presentedKey(r.Header)
		if key == "" {
			s.fail(w, r, &imagegen.Error{
				Kind:    imagegen.KindInvalidAPIKey,
				Message: "No API key was given: send the header Authorization: Bearer YOUR_KEY.",
			})
			return
		}
		owner, ok := s.keys.owner(key)
		if !ok {
			s.fail(w, r, &imagegen.Error{
				Kind:    imagegen.KindInvalidAPIKey,
				Message: "The API key is not known here: check the key that your client is set up with.",
			})
			return
		}
		exchangeOf(r).owner = owner
		next.ServeHTTP(w, r)
	})
}

// presentedKey returns the first key that a request presents, or nothing.
func presentedKey(h http.Header) string {
	scheme, key, _ := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(key) != "" {
		return strings.TrimSpace(key)
	}
	if key := strings.TrimSpace(h.Get("X-Api-Key")); key != "" {
		return key
	}
	return strings.TrimSpace(h.Get("Api-Key"))
}
