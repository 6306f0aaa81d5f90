package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

func loadModels(t *testing.T, yaml string) ([]imagegen.Model, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "models.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil { //nolint:gosec // a directory of the test
		t.Fatal(err)
	}
	c, err := config.LoadAPI([]string{"GATEWAY_API_KEY=k", "CONFIG_FILE=" + path})
	return c.Models, err
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	got, err := loadModels(t, `
models:
  - id: Z-Image
    model_index: 5
  - id: Tiny
    owned_by: me
    upstream: exacg
    model_index: 0
    steps: 4
    cfg: 0
    limits: {min_side: 32, max_side: 512, steps: [2, 6]}
    default_size: 512x256
    ratios: {"2:1": 512x256}
    qualities: {low: {max_side: 64, steps: 2}}
    aliases: [gpt-image-1]
    edit: true
    default_response_format: both
`)
	if err != nil {
		t.Fatal(err)
	}
	tiny := imagegen.DefaultModel()
	tiny.ID, tiny.OwnedBy, tiny.ModelIndex, tiny.Steps, tiny.CFG = "Tiny", "me", 0, 4, 0
	tiny.Limits = imagegen.Limits{MinSide: 32, MaxSide: 512, MinSteps: 2, MaxSteps: 6}
	tiny.DefaultSize = imagegen.Size{Width: 512, Height: 256}
	tiny.Ratios = map[string]imagegen.Size{"2:1": {Width: 512, Height: 256}}
	tiny.Qualities = map[string]imagegen.Quality{"low": {MaxSide: 64, Steps: 2}}
	tiny.Aliases, tiny.Edit, tiny.DefaultResponseFormat = []string{"gpt-image-1"}, true, "both"
	if diff := cmp.Diff([]imagegen.Model{imagegen.DefaultModel(), tiny}, got); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
}

// The example says what the default is.
func TestConfigExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "config.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	models, err := loadModels(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	want := imagegen.DefaultModel()
	want.Aliases = []string{"dall-e-3"}
	if diff := cmp.Diff(want, models[0]); diff != "" || !models[1].Edit {
		t.Errorf("the first model (-want +got):\n%s", diff)
	}
}

func TestConfigFileMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		yaml string
		want []string // parts of the lines, in order
	}{
		"no models":                {"", []string{"models: at least one"}},
		"an empty list":            {"models: []", []string{"models: at least one"}},
		"no YAML":                  {"models: [", []string{"[1:"}},
		"an unknown field":         {"models:\n  - id: a\n    model_index: 1\n    stpes: 3\n", []string{`[4:5] unknown field "stpes"`}},
		"an unknown section":       {"upstreams: []\nmodels: [{id: a, model_index: 1}]\n", []string{`[1:1] unknown field "upstreams"`}},
		"a field given twice":      {"models:\n  - id: a\n    id: b\n    model_index: 1\n", []string{"[3:5]"}},
		"no index":                 {"models: [{id: a}]", []string{`model "a": model_index is required`}},
		"no id":                    {"models: [{model_index: 1}]", []string{`name ""`}},
		"an id taken":              {"models: [{id: a, model_index: 1}, {id: A, model_index: 2}]", []string{`"A" is taken`}},
		"a size in words":          {"models: [{id: a, model_index: 1, default_size: big}]", []string{`"big" is not a size`}},
		"a size out of limits":     {"models: [{id: a, model_index: 1, default_size: 4096x4096}]", []string{"default size 4096x4096"}},
		"one limit of steps":       {"models: [{id: a, model_index: 1, limits: {steps: [1]}}]", []string{"steps takes two numbers"}},
		"an unknown upstream":      {"models: [{id: a, model_index: 1, upstream: b}]", []string{`upstream "b"`}},
		"an unknown format":        {"models: [{id: a, model_index: 1, default_response_format: b}]", []string{`default_response_format "b"`}},
		"several mistakes at once": {"models: [{id: a}, {id: b}]", []string{`"a": model_index`, `"b": model_index`}},
	} {
		_, err := loadModels(t, c.yaml)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%s: %d lines, want %d:\n%s", name, len(lines), len(c.want), err)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(lines[i], "CONFIG_FILE: ") || !strings.Contains(lines[i], want) {
				t.Errorf("%s: got %q, want %q in it", name, lines[i], want)
			}
		}
	}
	if _, err := config.LoadAPI([]string{"GATEWAY_API_KEY=k", "CONFIG_FILE=/nowhere/x.yaml"}); err == nil || !strings.Contains(err.Error(), "CONFIG_FILE: read it") {
		t.Errorf("a file that is not there: %v", err)
	}
}
