package imagegen_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// model returns the default model after edit.
func model(edit func(*imagegen.Model)) imagegen.Model {
	m := imagegen.DefaultModel()
	edit(&m)
	return m
}

func TestDefaultModelIsTheSeedsOne(t *testing.T) {
	t.Parallel()
	want := imagegen.Model{
		ID: "Z-Image", OwnedBy: "sd-exacg-gateway", Created: 1730800000, Upstreams: []string{"exacg"}, ModelIndex: 5, Steps: 8, CFG: 7.0,
		Limits:      imagegen.Limits{MinSide: 64, MaxSide: 2048, MinSteps: 1, MaxSteps: 50},
		DefaultSize: imagegen.Size{Width: 2048, Height: 2048},
		Ratios: map[string]imagegen.Size{
			"1:1": {Width: 2048, Height: 2048}, "1:2": {Width: 1024, Height: 2048}, "3:2": {Width: 1920, Height: 1280},
			"3:4": {Width: 1536, Height: 2048}, "16:9": {Width: 2048, Height: 1152}, "9:16": {Width: 1152, Height: 2048},
			"2:1": {Width: 2048, Height: 1024}, "2:3": {Width: 1280, Height: 1920}, "4:3": {Width: 2048, Height: 1536},
			"21:9": {Width: 2016, Height: 864},
		},
		Qualities: map[string]imagegen.Quality{"low": {MaxSide: 1024}, "medium": {MaxSide: 1536}, "high": {MaxSide: 2048}},
	}
	got := imagegen.DefaultModel()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("DefaultModel() (-want +got):\n%s", diff)
	}
	got.Ratios["1:1"] = imagegen.Size{}
	if imagegen.DefaultModel().Ratios["1:1"] == (imagegen.Size{}) {
		t.Error("two default models share a table")
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	first := model(func(m *imagegen.Model) { m.Aliases = []string{"z-image", "dall-e-3"} })
	second := model(func(m *imagegen.Model) { m.ID, m.ModelIndex, m.Aliases = "Other", 7, []string{"gpt-image-1"} })
	c, err := imagegen.NewCatalog([]imagegen.Model{first, second})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, c.Default()); diff != "" {
		t.Errorf("Default() (-want +got):\n%s", diff)
	}
	for id, fits := range map[string]func(imagegen.Model) bool{
		"Z-Image": func(imagegen.Model) bool { return true },
		"Other":   func(m imagegen.Model) bool { return m.ModelIndex == 7 },
		"":        func(imagegen.Model) bool { return false },
	} {
		if got, ok := c.First(fits); got.ID != id || ok != (id != "") {
			t.Errorf("First() = %q, %v; want %q", got.ID, ok, id)
		}
	}
	wantEntries := []imagegen.Entry{
		{ID: "Z-Image", Model: first},
		{ID: "z-image", Model: first},
		{ID: "dall-e-3", Model: first},
		{ID: "Other", Model: second},
		{ID: "gpt-image-1", Model: second},
	}
	if diff := cmp.Diff(wantEntries, c.Entries()); diff != "" {
		t.Errorf("Entries() (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"Z-Image": "Z-Image", "z-image": "Z-Image", "Z-IMAGE": "Z-Image", "DALL-E-3": "Z-Image", "other": "Other", "GPT-Image-1": "Other",
		"": "", "unknown": "", "Z-Image ": "",
	} {
		if got, ok := c.Lookup(name); got.ID != want || ok != (want != "") {
			t.Errorf("Lookup(%q) = %q, %v; want %q", name, got.ID, ok, want)
		}
	}
}

func TestNewCatalogRefuses(t *testing.T) {
	t.Parallel()
	edited := func(edit func(*imagegen.Model)) []imagegen.Model { return []imagegen.Model{model(edit)} }
	small := imagegen.Size{Width: 32, Height: 512}
	tests := map[string]struct {
		models []imagegen.Model
		want   string
	}{
		"no models":           {nil, "no models"},
		"no id":               {edited(func(m *imagegen.Model) { m.ID = "" }), `id: "" is empty`},
		"spaces in an alias":  {edited(func(m *imagegen.Model) { m.Aliases = []string{"a "} }), `aliases[0]: "a " is empty or has spaces`},
		"the same id twice":   {[]imagegen.Model{imagegen.DefaultModel(), imagegen.DefaultModel()}, `id: "Z-Image" is taken by model "Z-Image"`},
		"alias is its own id": {edited(func(m *imagegen.Model) { m.Aliases = []string{"Z-Image"} }), `aliases[0]: "Z-Image" is taken`},
		"the same alias twice": {
			edited(func(m *imagegen.Model) { m.Aliases = []string{"a", "A"} }), `aliases[1]: "A" is taken by model "Z-Image"`,
		},
		"the same respelled id twice": {
			edited(func(m *imagegen.Model) { m.Aliases = []string{"z-image", "z-image"} }), `aliases[1]: "z-image" is taken`,
		},
		"alias of another model": {
			[]imagegen.Model{
				model(func(m *imagegen.Model) { m.Aliases = []string{"dall-e-3"} }),
				model(func(m *imagegen.Model) { m.ID, m.Aliases = "Other", []string{"DALL-E-3"} }),
			}, `model "Other": aliases[0]: "DALL-E-3" is taken by model "Z-Image" (case does not count)`,
		},
		"no upstream":                      {edited(func(m *imagegen.Model) { m.Upstreams = nil }), "upstream: none is named"},
		"negative index":                   {edited(func(m *imagegen.Model) { m.ModelIndex = -1 }), "model_index: -1 is negative"},
		"no limits":                        {edited(func(m *imagegen.Model) { m.Limits = imagegen.Limits{} }), "limits: a side of 0 to 0"},
		"limits upside down":               {edited(func(m *imagegen.Model) { m.Limits.MinSide = 4096 }), "limits: a side of 4096 to 2048"},
		"limits between eight":             {edited(func(m *imagegen.Model) { m.Limits.MinSide, m.Limits.MaxSide = 65, 71 }), "multiple of 8"},
		"no limits of steps":               {edited(func(m *imagegen.Model) { m.Limits.MinSteps = 0 }), "limits.steps: 0 to 50"},
		"steps out of limits":              {edited(func(m *imagegen.Model) { m.Steps = 51 }), ": steps: 51 is outside 1 to 50"},
		"no steps":                         {edited(func(m *imagegen.Model) { m.Steps = 0 }), ": steps: 0 is outside"},
		"cfg not a number":                 {edited(func(m *imagegen.Model) { m.CFG = math.NaN() }), "cfg: NaN"},
		"default size":                     {edited(func(m *imagegen.Model) { m.DefaultSize = small }), "default_size: 32x512 has a side outside 64 to 2048"},
		"ratio size":                       {edited(func(m *imagegen.Model) { m.Ratios["1:1"] = small }), `ratios["1:1"]: 32x512`},
		"ratio text":                       {edited(func(m *imagegen.Model) { m.Ratios["16x9"] = m.DefaultSize }), `ratios["16x9"]: a ratio looks like`},
		"ratio zero":                       {edited(func(m *imagegen.Model) { m.Ratios["0:9"] = m.DefaultSize }), `ratios["0:9"]: a ratio looks like`},
		"ratio respelled":                  {edited(func(m *imagegen.Model) { m.Ratios["01:1"] = m.DefaultSize }), `ratios["01:1"]: a ratio looks like`},
		"ratio too long":                   {edited(func(m *imagegen.Model) { m.Ratios["1:10000"] = m.DefaultSize }), `ratios["1:10000"]: a ratio looks like`},
		"ratio with a point":               {edited(func(m *imagegen.Model) { m.Ratios["2.35:1"] = m.DefaultSize }), `ratios["2.35:1"]: a ratio looks like`},
		"unreachable tier":                 {edited(func(m *imagegen.Model) { m.Qualities["ultra"] = imagegen.Quality{} }), `qualities["ultra"]: it can never`},
		"tier too small":                   {edited(func(m *imagegen.Model) { m.Qualities["low"] = imagegen.Quality{MaxSide: 63} }), `qualities["low"].max_side: 63 is outside 64 to 2048`},
		"tier too large":                   {edited(func(m *imagegen.Model) { m.Qualities["low"] = imagegen.Quality{MaxSide: 2049} }), `qualities["low"].max_side: 2049`},
		"a field of our own passed on":     {edited(func(m *imagegen.Model) { m.Passthrough = []string{"style", "Prompt"} }), "passthrough[1]: the gateway"},
		"a field of the adapter passed on": {edited(func(m *imagegen.Model) { m.Passthrough = []string{"init_images"} }), "passthrough[0]: the gateway"},
		"a field without a name":           {edited(func(m *imagegen.Model) { m.Passthrough = []string{""} }), "passthrough[0]: a field is named by"},
		"a field with an odd name":         {edited(func(m *imagegen.Model) { m.Passthrough = []string{"a b"} }), "passthrough[0]: a field is named by"},
		"a field with a long name": {
			edited(func(m *imagegen.Model) { m.Passthrough = []string{strings.Repeat("a", 65)} }), "passthrough[0]: a field is named by",
		},
		"a field twice":        {edited(func(m *imagegen.Model) { m.Passthrough = []string{"style", "tiling", "style"} }), "passthrough[2]: style is listed twice"},
		"tier with many steps": {edited(func(m *imagegen.Model) { m.Qualities["low"] = imagegen.Quality{Steps: 51} }), `qualities["low"].steps: 51`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := imagegen.NewCatalog(tt.models)
			if err == nil || !strings.Contains(err.Error(), tt.want) || c != nil {
				t.Errorf("NewCatalog() = %v, %v; want an error with %q", c, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("one mistake was told more than once:\n%v", err)
			}
		})
	}
}

func TestNewCatalogTellsEveryMistake(t *testing.T) {
	t.Parallel()
	bad := model(func(m *imagegen.Model) {
		m.Upstreams, m.Steps = nil, 99
		m.Ratios["x"], m.Ratios["1:1"] = m.DefaultSize, imagegen.Size{}
	})
	_, err := imagegen.NewCatalog([]imagegen.Model{bad, bad})
	if err == nil {
		t.Fatal("no error")
	}
	if got, want := strings.Count(err.Error(), "\n")+1, 9; got != want {
		t.Errorf("%d mistakes told, want %d:\n%v", got, want, err)
	}
}
