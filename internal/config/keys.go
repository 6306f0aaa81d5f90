package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

const (
	maxName         = 64
	maxRPM          = 1_000_000
	maxPending      = 10_000_000
	maxImagesPerDay = 1_000_000_000
)

// ClientKey is a key of CONFIG_FILE: whose it is, how to know it, and what it may do.
type ClientKey struct {
	Name   string
	Digest [sha256.Size]byte // of the key, which is kept nowhere
	// Models are ids and aliases in any case; none: all models.
	Models []string
	// RPM is how many generation requests it may make in a minute; 0: RATE_LIMIT_RPM.
	RPM int
	// MaxPending is how many of its pictures may wait at once; 0: no limit of its own.
	MaxPending int
	// ImagesPerDay is how many pictures it may order in a day, in UTC; 0: no limit.
	ImagesPerDay int
}

// fileKey is one entry of keys.
type fileKey struct {
	Name         string       `yaml:"name" required:"true"`
	SHA256       clientDigest `yaml:"sha256" required:"true"`
	Models       []string     `yaml:"models"`
	RPM          int          `yaml:"rpm"`
	MaxPending   int          `yaml:"max_pending"`
	ImagesPerDay int          `yaml:"images_per_day"`
}

// CheckName says what is wrong with the name of a client key or an upstream; nil where nothing is.
func CheckName(name string) error {
	odd := strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
	if name == "" || len(name) > maxName || odd {
		return fmt.Errorf("a name is 1 to %d letters, digits, dots, underscores and hyphens", maxName)
	}
	return nil
}

// KeyEntry returns the line that stands for a key under keys of CONFIG_FILE.
func KeyEntry(name string, digest [sha256.Size]byte) string {
	// A name like 007 or null is something else to YAML, unless it is quoted.
	var read any
	if err := yaml.Unmarshal([]byte(name), &read); err != nil || read != name {
		name = strconv.Quote(name)
	}
	return fmt.Sprintf(`- {name: %s, sha256: "%x"}`, name, digest)
}

// checkClientKeys completes the entries. No mistake shows a digest: it may be a key that was put in the wrong place. names
// are those of the models, in lower case; nil: they are not known.
func checkClientKeys(r *report, entries []fileKey, names map[string]bool) []ClientKey {
	var all []ClientKey
	for i, entry := range entries {
		p := path("keys").index(i)
		k := ClientKey{
			Name: entry.Name, Models: entry.Models, RPM: entry.RPM, MaxPending: entry.MaxPending, ImagesPerDay: entry.ImagesPerDay,
		}
		entry.checkName(r, p.field("name"), all)
		k.Digest = entry.digest(r, p.field("sha256"), all)
		entry.checkLimits(r, p)
		if f := p.field("models"); r.has(f) && len(entry.Models) == 0 {
			r.mistake(f, "none is named: leave it out where the key may use all")
		}
		for n, model := range entry.Models {
			if f := p.field("models").index(n); names != nil && !names[strings.ToLower(model)] {
				r.mistake(f, "there is no model %s", r.quote(f, model))
			}
		}
		all = append(all, k)
	}
	return all
}

func (k fileKey) checkName(r *report, p path, earlier []ClientKey) {
	err := CheckName(k.Name)
	switch {
	case !r.has(p):
	case err != nil:
		r.mistake(p, "%s", err)
	case slices.ContainsFunc(earlier, func(e ClientKey) bool { return e.Name == k.Name }):
		r.mistake(p, "the name is taken")
	}
}

// digest reads a digest; it is zero where there is none.
func (k fileKey) digest(r *report, p path, earlier []ClientKey) [sha256.Size]byte {
	raw, err := hex.DecodeString(string(k.SHA256))
	if err != nil || len(raw) != sha256.Size {
		if r.has(p) {
			r.mistake(p, "it must be the 64 hexadecimal digits that api -new-key prints")
		}
		return [sha256.Size]byte{}
	}
	digest := [sha256.Size]byte(raw)
	if digest == sha256.Sum256(nil) {
		r.mistake(p, "it is that of an empty key")
	}
	for _, e := range earlier {
		if e.Digest == digest {
			r.mistake(p, "it is that of key %s", quote(e.Name))
		}
	}
	return digest
}

func (k fileKey) checkLimits(r *report, p path) {
	for _, limit := range []struct {
		name       string
		value, max int
	}{{"rpm", k.RPM, maxRPM}, {"max_pending", k.MaxPending, maxPending}, {"images_per_day", k.ImagesPerDay, maxImagesPerDay}} {
		if limit.value < 0 || limit.value > limit.max {
			r.mistake(p.field(limit.name), "%d is outside 0 to %d", limit.value, limit.max)
		}
	}
}

// checkKeys looks for keys that are named twice, by GATEWAY_API_KEY and by CONFIG_FILE: with which limits would they come?
func (l *loader) checkKeys(c *API) {
	for i, key := range c.Keys {
		if !visibleASCII(key.Value()) {
			l.mistake("GATEWAY_API_KEY", fmt.Sprintf("key number %d %s", i+1, expectKey))
		}
		if named, ok := c.clientKey(key); ok {
			l.mistake("GATEWAY_API_KEY", fmt.Sprintf("key number %d is also under keys: of CONFIG_FILE, as %s", i+1, quote(named.Name)))
		}
	}
}

// clientKey returns the entry of CONFIG_FILE that a key has there.
func (c *API) clientKey(key Secret) (ClientKey, bool) {
	digest := sha256.Sum256([]byte(key))
	i := slices.IndexFunc(c.ClientKeys, func(k ClientKey) bool { return k.Digest == digest })
	if i < 0 {
		return ClientKey{}, false
	}
	return c.ClientKeys[i], true
}
