package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const (
	maxKeyName      = 64
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
	Name         string   `yaml:"name"`
	SHA256       string   `yaml:"sha256"`
	Models       []string `yaml:"models"`
	RPM          int      `yaml:"rpm"`
	MaxPending   int      `yaml:"max_pending"`
	ImagesPerDay int      `yaml:"images_per_day"`

	at string // line and column, as the decoder's own mistakes have them
}

// UnmarshalYAML reads an entry and keeps where it begins, for what is found out later.
func (k *fileKey) UnmarshalYAML(node ast.Node) error {
	type entry fileKey // without this method
	if err := yaml.NodeToValue(node, (*entry)(k), yaml.Strict()); err != nil {
		return err //nolint:wrapcheck // it knows the line
	}
	if t := node.GetToken(); t != nil {
		k.at = fmt.Sprintf("[%d:%d] ", t.Position.Line, t.Position.Column)
	}
	return nil
}

// CheckKeyName says what is wrong with the name of a client key; nil where nothing is.
func CheckKeyName(name string) error {
	odd := strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
	if name == "" || len(name) > maxKeyName || odd {
		return fmt.Errorf("a name is 1 to %d letters, digits, dots, underscores and hyphens", maxKeyName)
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

// clientKeys checks the entries. Its error holds one line a mistake, and none shows a digest: it may be a key that was put
// in the wrong place. names are those of the models, in lower case.
func clientKeys(entries []fileKey, names map[string]bool) ([]ClientKey, error) {
	var (
		all      []ClientKey
		mistakes []error
	)
	for i, entry := range entries {
		k, found := entry.key(names)
		for _, earlier := range all {
			if k.Name != "" && k.Name == earlier.Name {
				found = append(found, errors.New("the name is taken"))
			}
			if k.Digest != [sha256.Size]byte{} && k.Digest == earlier.Digest {
				found = append(found, fmt.Errorf("sha256 is that of key %q", earlier.Name))
			}
		}
		all = append(all, k)
		title := fmt.Sprintf("%skey number %d", entry.at, i+1)
		if CheckKeyName(k.Name) == nil {
			title += fmt.Sprintf(" (%s)", k.Name)
		}
		for _, err := range found {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", title, err))
		}
	}
	return all, errors.Join(mistakes...)
}

// key checks an entry by itself.
func (k fileKey) key(names map[string]bool) (ClientKey, []error) {
	var found []error
	if k.Name == "" {
		found = append(found, errors.New("name is required"))
	} else if err := CheckKeyName(k.Name); err != nil {
		found = append(found, err)
	}
	key := ClientKey{Name: k.Name, Models: k.Models, RPM: k.RPM, MaxPending: k.MaxPending, ImagesPerDay: k.ImagesPerDay}
	digest, err := hex.DecodeString(k.SHA256)
	switch {
	case err != nil || len(digest) != sha256.Size:
		found = append(found, errors.New("sha256 must be the 64 hexadecimal digits that api -new-key prints"))
	case sha256.Sum256(nil) == [sha256.Size]byte(digest):
		found = append(found, errors.New("sha256 is that of an empty key"))
	default:
		key.Digest = [sha256.Size]byte(digest)
	}
	if k.Models != nil && len(k.Models) == 0 {
		found = append(found, errors.New("models names none; leave it out where the key may use all"))
	}
	for _, model := range k.Models {
		if !names[strings.ToLower(model)] {
			found = append(found, fmt.Errorf("models: there is no model %s", quote(model)))
		}
	}
	for _, limit := range []struct {
		name       string
		value, max int
	}{{"rpm", k.RPM, maxRPM}, {"max_pending", k.MaxPending, maxPending}, {"images_per_day", k.ImagesPerDay, maxImagesPerDay}} {
		if limit.value < 0 || limit.value > limit.max {
			found = append(found, fmt.Errorf("%s: %d is not between 0 and %d", limit.name, limit.value, limit.max))
		}
	}
	return key, found
}

// modelNames returns the names of the models on offer, in lower case.
func modelNames(entries []fileModel, aliases []string) map[string]bool {
	names := slices.Clone(aliases)
	if len(entries) == 0 {
		m := imagegen.DefaultModel()
		names = append(append(names, m.ID), m.Aliases...)
	}
	for _, m := range entries {
		names = append(append(names, m.ID), m.Aliases...)
	}
	set := map[string]bool{}
	for _, name := range names {
		set[strings.ToLower(name)] = true
	}
	return set
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
