package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

// withKeys is what both processes need beside the file.
var withKeys = []string{"GATEWAY_API_KEY=k", "SD_API_KEY=k"}

// loaders load the file for each process.
var loaders = map[string]func(environ []string) error{
	"api":        func(environ []string) error { _, err := config.LoadAPI(environ); return err },
	"worker":     func(environ []string) error { _, err := config.LoadWorker(environ); return err },
	"standalone": func(environ []string) error { _, _, err := config.LoadStandalone(environ); return err },
}

func TestFileMistakes(t *testing.T) {
	t.Parallel()
	const up = "upstreams:\n  - {name: x, type: exacg, api_keys: [k]}\n  - {name: o, type: openai, url: 'https://h/v1'}\n"
	for name, c := range map[string]struct {
		yaml string
		want []string // behind the file's name
	}{
		"nothing in it":       {"", []string{"1:1: at least one of models, upstreams and keys is required"}},
		"only a comment":      {"# models\n", []string{"1:1: at least one of models, upstreams and keys is required"}},
		"empty lists":         {"models: []\nkeys:\n", []string{"1:1: at least one of models, upstreams and keys is required"}},
		"no YAML":             {"models:\n  - id: a\n   steps: 1\n", []string{"3:4: this is not YAML: value is not allowed in this context"}},
		"a list cut off":      {"models: [", []string{"1:9: this is not YAML: sequence end token ']' not found"}},
		"two documents":       {"models: [{id: a, model_index: 1}]\n---\nkeys: []\n", []string{"3:1: a second document begins here: only one is read"}},
		"a directive":         {"%YAML 1.2\n---\nkeys: []\n", []string{"1:1: directives are not read here"}},
		"text for all of it":  {"models", []string{"1:1: this is not a mapping of fields to values"}},
		"an unknown section":  {"modles: []\nmodels: [{id: a, model_index: 1}]\n", []string{`1:1: unknown field "modles"`}},
		"an unknown field":    {"models:\n  - id: a\n    model_index: 1\n    stpes: 3\n", []string{`4:5: models[0]: unknown field "stpes"`}},
		"a field in capitals": {"models:\n  - {id: a, model_index: 1, Steps: 3}\n", []string{`2:29: models[0]: unknown field "Steps"`}},
		"a field given twice": {"models:\n  - id: a\n    id: b\n    model_index: 1\n", []string{"3:5: models[0].id: this is given twice, first on line 2"}},
		"a section twice":     {"models: [{id: a, model_index: 1}]\nmodels: []\n", []string{"2:1: models: this is given twice, first on line 1"}},
		"a ratio twice":       {"models: [{id: a, model_index: 1, ratios: {'1:1': 64x64, \"1:1\": 64x64}}]", []string{`1:57: models[0].ratios["1:1"]: this is given twice, first on line 1`}},
		"anchors and aliases": {
			"models:\n  - &a {id: a, model_index: 1}\n  - *a\n  - {<<: *a, id: c, model_index: !!int 1}\n",
			[]string{
				"2:5: models[0]: anchors are not read here: write the value itself",
				"3:5: models[1]: aliases are not read here: write the value itself",
				"4:6: models[2]: a key must be plain text: anchors, aliases, tags and merge keys are not read here",
				"4:34: models[2].model_index: tags are not read here: write the value itself",
			},
		},
		"wrong types": {
			"models:\n  - id: 7\n    model_index: five\n    steps: '8'\n    cfg: .nan\n    edit: yes\n    aliases: a\n    default_size: big\n    ratios: [1]\n    limits: {min_side: 6.5}\n    upstream: {}\n",
			[]string{
				`2:9: models[0].id: "7" is a number where text is expected: put it in quotes`,
				`3:18: models[0].model_index: "five" is not a whole number`,
				`4:12: models[0].steps: "8" is not a whole number`,
				`5:10: models[0].cfg: ".nan" is not a number`,
				`6:11: models[0].edit: "yes" is neither true nor false`,
				`7:14: models[0].aliases: this is not a list`,
				`8:19: models[0].default_size: "big" is not a size such as 1024x768`,
				`9:13: models[0].ratios: this is not a mapping of names to values`,
				`10:24: models[0].limits.min_side: "6.5" is not a whole number`,
				`11:15: models[0].upstream: this is not a list`,
			},
		},
		"no index":          {"models: [{id: a}]", []string{"1:10: models[0].model_index: this is required where an upstream is of type exacg"}},
		"no index, second":  {up + "models: [{id: a, upstream: [o, x]}, {id: b, upstream: o}]", []string{"4:10: models[0].model_index: this is required where an upstream is of type exacg"}},
		"no id":             {"models: [{model_index: 1}]", []string{"1:10: models[0].id: this is required"}},
		"an empty id":       {"models: [{id: '', model_index: 1}]", []string{`1:15: models[0].id: "" is empty or has spaces around it`}},
		"an id taken":       {"models:\n  - {id: a, model_index: 1}\n  - {id: A, model_index: 2}\n", []string{`3:10: models[1].id: "A" is taken by model "a" (case does not count)`}},
		"an alias taken":    {"models:\n  - {id: a, model_index: 1}\n  - {id: b, model_index: 2, aliases: [c, A]}\n", []string{`3:42: models[1].aliases[1]: "A" is taken by model "a" (case does not count)`}},
		"steps out":         {"models: [{id: a, model_index: 1, steps: 99}]", []string{"1:41: models[0].steps: 99 is outside 1 to 50"}},
		"an index out":      {"models: [{id: a, model_index: -1}]", []string{"1:31: models[0].model_index: -1 is negative"}},
		"a cfg out":         {"models: [{id: a, model_index: 1, cfg: 101.0}]", []string{"1:39: models[0].cfg: 101 is not a number from 0 to 100"}},
		"a size out":        {"models: [{id: a, model_index: 1, default_size: 4096x4096}]", []string{"1:48: models[0].default_size: 4096x4096 has a side outside 64 to 2048"}},
		"a ratio out":       {"models: [{id: a, model_index: 1, ratios: {\"1:1\": 32x32}}]", []string{`1:50: models[0].ratios["1:1"]: 32x32 has a side outside 64 to 2048`}},
		"a ratio in words":  {"models: [{id: a, model_index: 1, ratios: {wide: 64x32}, limits: {min_side: 32}}]", []string{`1:49: models[0].ratios["wide"]: a ratio looks like 16:9`}},
		"a tier out":        {"models: [{id: a, model_index: 1, qualities: {low: {max_side: 9, steps: 99}}}]", []string{`1:62: models[0].qualities["low"].max_side: 9 is outside 64 to 2048`, `1:72: models[0].qualities["low"].steps: 99 is outside 1 to 50`}},
		"an unknown tier":   {"models: [{id: a, model_index: 1, qualities: {hd: {steps: 9}}}]", []string{`1:50: models[0].qualities["hd"]: it can never be asked for: tiers are low, medium and high`}},
		"no sides":          {"models: [{id: a, model_index: 1, limits: {min_side: 9, max_side: 8}}]", []string{"1:42: models[0].limits: a side of 9 to 8 can be no positive multiple of 8"}},
		"a side of nothing": {"models: [{id: a, model_index: 1, limits: {max_side: 0}}]", []string{"1:42: models[0].limits: a side of 64 to 0 can be no positive multiple of 8"}},
		"one limit":         {"models: [{id: a, model_index: 1, steps: 60, limits: {steps: [1]}}]", []string{"1:61: models[0].limits.steps: two numbers are expected, the fewest and the most"}},
		"no steps":          {"models: [{id: a, model_index: 1, limits: {steps: [9, 3]}}]", []string{"1:50: models[0].limits.steps: 9 to 3 holds no positive number"}},
		"an unknown format": {"models: [{id: a, model_index: 1, default_response_format: b}]", []string{`1:59: models[0].default_response_format: "b" is not url, b64_json or both`}},
		"fields passed on": {
			"models: [{id: a, model_index: 1, passthrough: [style, Prompt, n_iter, style, 'a b', '']}]",
			[]string{
				"1:55: models[0].passthrough[1]: the gateway or the upstream's adapter has a use of its own for the field Prompt",
				"1:63: models[0].passthrough[2]: the gateway or the upstream's adapter has a use of its own for the field n_iter",
				"1:71: models[0].passthrough[3]: style is listed twice",
				"1:78: models[0].passthrough[4]: a field is named by 1 to 64 letters, digits, dots, underscores and hyphens",
				"1:85: models[0].passthrough[5]: a field is named by 1 to 64 letters, digits, dots, underscores and hyphens",
			},
		},
		"upstreams that are not": {
			up + "models:\n  - {id: a, upstream: y, model_index: 1}\n  - {id: b, upstream: [o, X, o]}\n  - {id: c, upstream: []}\n",
			[]string{
				`5:23: models[0].upstream[0]: there is no upstream "y"`,
				`6:27: models[1].upstream[1]: there is no upstream "X"`,
				"6:30: models[1].upstream[2]: \"o\" is listed twice",
				"7:23: models[2].upstream: none is named",
			},
		},
		"the implied upstream's name": {"models: [{id: a, model_index: 1, upstream: exacg}, {id: b, model_index: 1, upstream: b}]", []string{`1:86: models[1].upstream[0]: there is no upstream "b"`}},
		"what cannot be read has no consequences": {
			"upstreams:\n  - {name: [], type: exacg, api_keys: [k]}\nmodels:\n  - {id: [], model_index: 1, upstream: y, steps: 60, limits: {steps: 5}}\nkeys:\n  - {name: a, sha256: " + digest("a") + ", models: [b]}\n",
			[]string{
				"2:12: upstreams[0].name: this is a list or a mapping where a single value is expected",
				"4:10: models[0].id: this is a list or a mapping where a single value is expected",
				"4:70: models[0].limits.steps: this is not a list",
			},
		},
		"upstreams of no known type": {"upstreams: x\nmodels: [{id: a, upstream: b}]\n", []string{"1:12: upstreams: this is not a list"}},
		"mistakes in all sections": {
			"keys:\n  - {name: a, sha256: x}\nupstreams:\n  - {name: u, type: y}\nmodels:\n  - {id: a, steps: 99}\n",
			[]string{
				"2:23: keys[0].sha256: it must be the 64 hexadecimal digits that api -new-key prints",
				`4:21: upstreams[0].type: "y" is not exacg, openai or sdwebui`,
				"6:20: models[0].steps: 99 is outside 1 to 50",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ := append([]string{configFile(t, c.yaml)}, withKeys...)
			for process, load := range loaders {
				err := load(environ)
				if err == nil {
					t.Errorf("%s: no error", process)
					continue
				}
				if diff := cmp.Diff(fileLines(c.want), strings.Split(err.Error(), "\n")); diff != "" {
					t.Errorf("%s: mistakes (-want +got):\n%s", process, diff)
				}
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ environ, want string }{
		"it is not there": {"CONFIG_FILE=/nowhere/x.yaml", "CONFIG_FILE: read it: open /nowhere/x.yaml: no such file or directory"},
		"a directory":     {"CONFIG_FILE=" + t.TempDir(), "CONFIG_FILE: read it: read "},
		"a large one":     {configFile(t, "#"+strings.Repeat(" ", 1<<20)), "CONFIG_FILE: larger than 1048576 bytes"},
	} {
		for process, load := range loaders {
			// Whether there are keys in it, nobody knows.
			err := load([]string{c.environ})
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %s: error is %v, want %q", name, process, err, c.want)
			}
		}
	}
}

// The report of a file that is all wrong has an end.
func TestManyFileMistakes(t *testing.T) {
	t.Parallel()
	_, err := config.LoadWorker([]string{"SD_API_KEY=k", configFile(t, "models: ["+strings.Repeat("{x: 1},", 500)+"]")})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if got, want := lines[len(lines)-1], "CONFIG_FILE: config.yaml: 1300 more mistakes"; len(lines) != 201 || got != want {
		t.Errorf("%d lines, the last of which is %q; want 201 and %q", len(lines), got, want)
	}
}

func TestModelAliasMistakes(t *testing.T) {
	t.Parallel()
	file := configFile(t, "models: [{id: A, model_index: 1, aliases: [b]}, {id: C, model_index: 2}]")
	for environ, want := range map[string]string{
		"MODEL_ALIASES=a,d":   "",
		"MODEL_ALIASES=A":     `MODEL_ALIASES: "A" is taken by model "A" (case does not count)`,
		"MODEL_ALIASES=B":     `MODEL_ALIASES: "B" is taken by model "A" (case does not count)`,
		"MODEL_ALIASES=d,c":   `MODEL_ALIASES: "c" is taken by model "C" (case does not count)`,
		"MODEL_ALIASES=d,e,D": `MODEL_ALIASES: "D" is taken by model "A" (case does not count)`,
	} {
		for process, load := range loaders {
			got := ""
			if err := load(append([]string{file, environ}, withKeys...)); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%s, %s: error is %q, want %q", process, environ, got, want)
			}
		}
	}
}
