package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

func loadModels(t *testing.T, yaml string) ([]imagegen.Model, error) {
	t.Helper()
	c, err := config.LoadAPI([]string{"GATEWAY_API_KEY=k", configFile(t, yaml)})
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
    passthrough: [style, tiling]
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
	tiny.Passthrough = []string{"style", "tiling"}
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
	want.Aliases, want.Passthrough = []string{"dall-e-3"}, []string{"style"}
	if diff := cmp.Diff(want, models[0]); diff != "" || !models[1].Edit {
		t.Errorf("the first model (-want +got):\n%s", diff)
	}
}

// Who only narrows the limits need not write the tables anew.
func TestDefaultsStayWithinOwnLimits(t *testing.T) {
	t.Parallel()
	got, err := loadModels(t, "models: [{id: a, model_index: 1, limits: {max_side: 1024, steps: [10, 20]}}]")
	if err != nil {
		t.Fatal(err)
	}
	m := got[0]
	if m.Steps != 10 || m.DefaultSize != (imagegen.Size{Width: 1024, Height: 1024}) {
		t.Errorf("steps are %d, and the default size is %v", m.Steps, m.DefaultSize)
	}
	if got, want := m.Ratios["16:9"], (imagegen.Size{Width: 1024, Height: 576}); got != want {
		t.Errorf("16:9 is %v, want %v", got, want)
	}
	if got := m.Qualities["high"].MaxSide; got != 1024 {
		t.Errorf("high draws up to %d", got)
	}
}
