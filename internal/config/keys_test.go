package config_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

// configFile returns the setting that names a file with this text.
func configFile(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil { //nolint:gosec // a directory of the test
		t.Fatal(err)
	}
	return "CONFIG_FILE=" + path
}

// fileLines puts before each mistake where it was found.
func fileLines(mistakes []string) []string {
	lines := make([]string, len(mistakes))
	for i, m := range mistakes {
		lines[i] = "CONFIG_FILE: config.yaml:" + m
	}
	return lines
}

// digest returns the SHA-256 of a key as it is written.
func digest(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }

func TestClientKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		yaml    string
		environ []string
		want    []config.ClientKey
		models  int
	}{
		"with nothing but a name": {
			yaml: "keys:\n  - {name: alice, sha256: \"" + digest("a") + "\"}\n",
			want: []config.ClientKey{{Name: "alice", Digest: sha256.Sum256([]byte("a"))}},
		},
		"with everything": {
			yaml: "models: [{id: A, model_index: 1, aliases: [b]}, {id: C, model_index: 2}]\n" +
				"keys:\n  - {name: A.b_c-1, sha256: " + strings.ToUpper(digest("a")) + ", models: [a, B, c, d], rpm: 1, max_pending: 2, images_per_day: 3}\n" +
				"  - {name: bob, sha256: " + digest("b") + ", rpm: 0}\n",
			environ: []string{"MODEL_ALIASES=D", "GATEWAY_API_KEY=c"},
			want: []config.ClientKey{
				{Name: "A.b_c-1", Digest: sha256.Sum256([]byte("a")), Models: []string{"a", "B", "c", "d"}, RPM: 1, MaxPending: 2, ImagesPerDay: 3},
				{Name: "bob", Digest: sha256.Sum256([]byte("b"))},
			},
			models: 2,
		},
		"of the default model": {
			yaml:    "keys: [{name: alice, sha256: " + digest("a") + ", models: [z-image, gpt-image-1]}]",
			environ: []string{"MODEL_ALIASES=GPT-Image-1"},
			want:    []config.ClientKey{{Name: "alice", Digest: sha256.Sum256([]byte("a")), Models: []string{"z-image", "gpt-image-1"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ := append([]string{configFile(t, c.yaml)}, c.environ...)
			api, err := config.LoadAPI(environ)
			if err != nil {
				t.Fatal(err)
			}
			standalone, _, err := config.LoadStandalone(append(environ, "LISTEN_ADDR=:1"))
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []config.API{api, standalone} {
				if diff := cmp.Diff(c.want, got.ClientKeys); diff != "" {
					t.Errorf("keys (-want +got):\n%s", diff)
				}
				if len(got.Models) != c.models {
					t.Errorf("got %d models, want %d", len(got.Models), c.models)
				}
				if wantPlain := len(c.environ) == 2; wantPlain != (len(got.Keys) == 1) {
					t.Errorf("got %d keys without a name", len(got.Keys))
				}
			}
		})
	}
}

// The keys of the example are commented out, so that nobody runs with them.
func TestClientKeysOfTheExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "config.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	yaml := regexp.MustCompile("(?m)^#(keys:|  )").ReplaceAllString(string(text), "$1")
	c, err := config.LoadAPI([]string{configFile(t, yaml)})
	if err != nil {
		t.Fatal(err)
	}
	want := []config.ClientKey{{Name: "alice", Models: []string{"Z-Image"}, RPM: 60, MaxPending: 50, ImagesPerDay: 500}}
	if diff := cmp.Diff(want, c.ClientKeys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestClientKeyMistakes(t *testing.T) {
	t.Parallel()
	const hex = "it must be the 64 hexadecimal digits that api -new-key prints"
	const naming = "a name is 1 to 64 letters, digits, dots, underscores and hyphens"
	a, b := digest("a"), digest("b")
	for name, c := range map[string]struct {
		yaml string
		want []string // behind the file's name
	}{
		"an unknown field":         {"keys:\n  - name: a\n    sha256: " + a + "\n    rmp: 3\n", []string{`4:5: keys[0]: unknown field "rmp"`}},
		"a field given twice":      {"keys:\n  - name: a\n    sha256: " + a + "\n    name: b\n", []string{"4:5: keys[0].name: this is given twice, first on line 2"}},
		"a list of another kind":   {"keys: [[]]", []string{"1:8: keys[0]: this is not a mapping of fields to values"}},
		"an empty entry":           {"keys: [{}]", []string{"1:8: keys[0].name: this is required", "1:8: keys[0].sha256: this is required"}},
		"no entry":                 {"keys:\n  -\n", []string{"2:5: keys[0]: this entry is empty"}},
		"a name with spaces":       {"keys: [{name: a b, sha256: " + a + "}]", []string{"1:15: keys[0].name: " + naming}},
		"a name in other letters":  {"keys: [{name: ä, sha256: " + a + "}]", []string{"1:15: keys[0].name: " + naming}},
		"a long name":              {"keys: [{name: " + strings.Repeat("a", 65) + ", sha256: " + a + "}]", []string{"1:15: keys[0].name: " + naming}},
		"the key for its digest":   {"keys: [{name: a, sha256: sk-hunter2}]", []string{"1:26: keys[0].sha256: " + hex}},
		"half a digest":            {"keys: [{name: a, sha256: " + a[:62] + "}]", []string{"1:26: keys[0].sha256: " + hex}},
		"the digest of nothing":    {"keys: [{name: a, sha256: " + digest("") + "}]", []string{"1:26: keys[0].sha256: it is that of an empty key"}},
		"a negative limit":         {"keys: [{name: a, sha256: " + a + ", rpm: -1}]", []string{"1:97: keys[0].rpm: -1 is outside 0 to 1000000"}},
		"a limit that is none":     {"keys: [{name: a, sha256: " + a + ", max_pending: 10000001}]", []string{"1:105: keys[0].max_pending: 10000001 is outside 0 to 10000000"}},
		"a limit in words":         {"keys: [{name: a, sha256: " + a + ", images_per_day: many}]", []string{`1:108: keys[0].images_per_day: "many" is not a whole number`}},
		"a model that is not":      {"keys: [{name: a, sha256: " + a + ", models: [Z-Image, nope]}]", []string{`1:110: keys[0].models[1]: there is no model "nope"`}},
		"no model at all":          {"keys: [{name: a, sha256: " + a + ", models: []}]", []string{"1:100: keys[0].models: none is named: leave it out where the key may use all"}},
		"the default model's name": {"models: [{id: A, model_index: 1}]\nkeys: [{name: a, sha256: " + a + ", models: [Z-Image]}]", []string{`2:101: keys[0].models[0]: there is no model "Z-Image"`}},
		"a name taken":             {"keys:\n  - {name: a, sha256: " + a + "}\n  - {name: a, sha256: " + b + "}\n", []string{"3:12: keys[1].name: the name is taken"}},
		"a key taken":              {"keys:\n  - {name: a, sha256: " + a + "}\n  - {name: b, sha256: " + strings.ToUpper(a) + "}\n", []string{`3:23: keys[1].sha256: it is that of key "a"`}},
		"mistakes everywhere": {
			"models: [{id: A}]\nkeys:\n  - {name: a, sha256: x, models: [B]}\n  - {sha256: " + b + ", images_per_day: -5}\n",
			[]string{
				"1:10: models[0].model_index: this is required where an upstream is of type exacg",
				"3:23: keys[0].sha256: " + hex, `3:35: keys[0].models[0]: there is no model "B"`,
				"4:5: keys[1].name: this is required", "4:96: keys[1].images_per_day: -5 is outside 0 to 1000000000",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.LoadAPI([]string{"GATEWAY_API_KEY=k", configFile(t, c.yaml)})
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(fileLines(c.want), strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a key shows: %s", err)
			}
		})
	}
}

// Which keys there are is asked once, of both places.
func TestKeysOfBothPlaces(t *testing.T) {
	t.Parallel()
	named := "keys: [{name: alice, sha256: " + digest("hunter2") + "}]"
	known := "keys: [{name: alice, sha256: " + digest(config.StandaloneKey) + "}]"
	const required = "GATEWAY_API_KEY: required: the keys that clients present, comma-separated"
	for name, c := range map[string]struct {
		yaml       string
		environ    string
		api        string // mistakes
		standalone string
	}{
		"only named ones":             {named, "", "", ""},
		"both":                        {named, "GATEWAY_API_KEY=a", "", ""},
		"none":                        {"models: [{id: A, model_index: 1}]", "", required, "GATEWAY_API_KEY: a key of your own"},
		"none, and a mistaken model":  {"models: [{id: A}]", "", required + "\nCONFIG_FILE: ", "GATEWAY_API_KEY: a key of your own"},
		"nobody knows, in a bad file": {"keys: [", "", "CONFIG_FILE: ", "CONFIG_FILE: "},
		"the same in both places": {
			named, "GATEWAY_API_KEY=a,hunter2", `GATEWAY_API_KEY: key number 2 is also under keys: of CONFIG_FILE, as "alice"`,
			`GATEWAY_API_KEY: key number 2 is also under keys: of CONFIG_FILE, as "alice"`,
		},
		"the one that everybody knows": {known, "", "", "GATEWAY_API_KEY: a key of your own"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ := []string{configFile(t, c.yaml), "LISTEN_ADDR=:1", c.environ}
			_, apiErr := config.LoadAPI(environ)
			api, _, standaloneErr := config.LoadStandalone(environ)
			for process, e := range map[string]struct {
				err  error
				want string
			}{"api": {apiErr, c.api}, "standalone": {standaloneErr, c.standalone}} {
				switch {
				case e.want == "" && e.err != nil, e.want != "" && e.err == nil:
					t.Errorf("%s: error is %v, want %q", process, e.err, e.want)
				case e.err != nil && (!strings.HasPrefix(e.err.Error(), e.want) || strings.Contains(e.err.Error(), "hunter2")):
					t.Errorf("%s: error is %q, want %q", process, e.err, e.want)
				}
			}
			if standaloneErr == nil && c.environ == "" && len(api.Keys) > 0 {
				t.Errorf("standalone has a key of its own beside the named ones")
			}
		})
	}
}

// What stands for a new key is read as it was meant, whatever its name would be to YAML.
func TestKeyEntry(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"alice", "a.b_c-d", "007", "0x10", "1e3", "1.50", "null", "true", "no", "on", "-", "--", ".", "...", "_", ".nan", "2024-01-01", strings.Repeat("a", 64)} {
		if err := config.CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		yaml := "keys:\n  " + config.KeyEntry(name, sha256.Sum256([]byte("a"))) + "\n"
		c, err := config.LoadAPI([]string{configFile(t, yaml)})
		if err != nil {
			t.Errorf("%v in\n%s", err, yaml)
			continue
		}
		if diff := cmp.Diff([]config.ClientKey{{Name: name, Digest: sha256.Sum256([]byte("a"))}}, c.ClientKeys); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, name := range []string{"", " ", "a b", "a\n", "ä", "a/b", "a:", strings.Repeat("a", 65), "\xff"} {
		if config.CheckName(name) == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}
