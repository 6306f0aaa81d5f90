package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// ownerBytes is how much of a key's digest names its owner: enough that no two keys meet.
const ownerBytes = 16

// Key is what a client may present, and what it may do with it.
type Key struct {
	Name   string            // for the log; empty: it has none
	Digest [sha256.Size]byte // of the key itself, which is not kept
	// Models are ids or aliases of those it may use, in any case; none: all.
	Models []string
	// RPM is how many generation requests it may make in a minute; 0: no limit.
	RPM int
	// MaxPending is how many of its pictures may wait at once; 0: no limit.
	MaxPending int
	// ImagesPerDay is how many pictures it may order in a day, in UTC; 0: no limit.
	ImagesPerDay int
}

// NewKey returns the key that clients present in these words, without a name and without limits.
func NewKey(plain string) Key { return Key{Digest: sha256.Sum256([]byte(plain))} }

// owner names whoever has the key in jobs and logs.
func (k *Key) owner() string { return hex.EncodeToString(k.Digest[:ownerBytes]) }

// allows reports whether the key may use the model. The models of a keyring's keys are ids.
func (k *Key) allows(m imagegen.Model) bool {
	return len(k.Models) == 0 || slices.Contains(k.Models, m.ID)
}

// keyring holds the keys that are known, by digest.
type keyring map[[sha256.Size]byte]*Key

func newKeyring(keys []Key, catalog *imagegen.Catalog) (keyring, error) {
	ring := make(keyring, len(keys))
	for _, k := range keys {
		if k.Digest == sha256.Sum256(nil) {
			return nil, errors.New("a client key is empty")
		}
		ids := make([]string, len(k.Models))
		for n, name := range k.Models {
			m, ok := catalog.Lookup(name)
			if !ok {
				return nil, fmt.Errorf("the client key %q is for a model %q, which does not exist", k.Name, name)
			}
			ids[n] = m.ID
		}
		k.Models = ids
		ring[k.Digest] = &k // of two entries for one key the last is the one that counts
	}
	if len(ring) == 0 {
		return nil, errors.New("at least one client key is required")
	}
	return ring, nil
}

// find returns the key that is presented, or nil. How long the map takes may depend on how much of a known digest is that
// of what was presented; but to steer a digest takes as many tries as to guess one, and a digest does not say what its key
// is. What is found is still compared in constant time, so that this rests on the digest and not on the map.
func (k keyring) find(presented string) *Key {
	digest := sha256.Sum256([]byte(presented))
	key, ok := k[digest]
	if !ok || subtle.ConstantTimeCompare(digest[:], key.Digest[:]) != 1 {
		return nil
	}
	return key
}

// authenticate lets only requests with a key through.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		presented := presentedKey(r.Header)
		if presented == "" {
			s.fail(w, r, &imagegen.Error{
				Kind:    imagegen.KindInvalidAPIKey,
				Message: "No API key was given: send the header Authorization: Bearer YOUR_KEY.",
			})
			return
		}
		key := s.keys.find(presented)
		if key == nil {
			s.fail(w, r, &imagegen.Error{
				Kind:    imagegen.KindInvalidAPIKey,
				Message: "The API key is not known here: check the key that your client is set up with.",
			})
			return
		}
		x := exchangeOf(r)
		x.key, x.owner = key, key.owner()
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
