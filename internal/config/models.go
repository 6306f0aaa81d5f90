package config

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// fileModel is one entry of models. What it leaves out is the default model's.
type fileModel struct {
	ID         string     `yaml:"id"`
	OwnedBy    string     `yaml:"owned_by"`
	Upstream   string     `yaml:"upstream"`
	ModelIndex *int       `yaml:"model_index"`
	Steps      *int       `yaml:"steps"`
	CFG        *float64   `yaml:"cfg"`
	Limits     fileLimits `yaml:"limits"`
	// Ratios replaces the default table.
	DefaultSize           fileSize               `yaml:"default_size"`
	Ratios                map[string]fileSize    `yaml:"ratios"`
	Qualities             map[string]fileQuality `yaml:"qualities"`
	Aliases               []string               `yaml:"aliases"`
	Edit                  bool                   `yaml:"edit"`
	DefaultResponseFormat string                 `yaml:"default_response_format"`
}

type fileLimits struct {
	MinSide int   `yaml:"min_side"`
	MaxSide int   `yaml:"max_side"`
	Steps   []int `yaml:"steps"` // fewest and most
}

type fileQuality struct {
	MaxSide int `yaml:"max_side"`
	Steps   int `yaml:"steps"`
}

// fileSize is a size written as 1024x768.
type fileSize imagegen.Size

// UnmarshalYAML reads a size.
func (s *fileSize) UnmarshalYAML(text []byte) error {
	var written string
	if err := yaml.Unmarshal(text, &written); err != nil {
		return errors.New("a size is written as 1024x768")
	}
	size, ok := imagegen.ParseSize(written)
	if !ok {
		return fmt.Errorf("%s is not a size such as 1024x768", quote(written))
	}
	*s = fileSize(size)
	return nil
}

// models completes the entries and sees whether they make a catalogue. Its error holds one line a mistake.
func models(entries []fileModel) ([]imagegen.Model, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	all := make([]imagegen.Model, len(entries))
	var mistakes []error
	for i, m := range entries {
		var err error
		if all[i], err = m.model(); err != nil {
			mistakes = append(mistakes, fmt.Errorf("model %q: %w", m.ID, err))
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	// A clash with MODEL_ALIASES is found by whoever builds the catalogue.
	_, err := imagegen.NewCatalog(all)
	return all, err
}

// model completes an entry. Whether its values are possible is the catalogue's to say.
func (f fileModel) model() (imagegen.Model, error) {
	m := imagegen.DefaultModel()
	m.ID, m.Aliases, m.Edit, m.DefaultResponseFormat = f.ID, f.Aliases, f.Edit, f.DefaultResponseFormat
	m.OwnedBy = cmp.Or(f.OwnedBy, m.OwnedBy)
	var mistakes []error
	if f.ModelIndex == nil {
		mistakes = append(mistakes, errors.New("model_index is required"))
	} else {
		m.ModelIndex = *f.ModelIndex
	}
	if f.Upstream != "" && f.Upstream != m.Upstreams[0] {
		mistakes = append(mistakes, fmt.Errorf("upstream %s: there is only %s", quote(f.Upstream), m.Upstreams[0]))
	}
	switch f.DefaultResponseFormat {
	case "", "url", "b64_json", "both":
	default:
		mistakes = append(mistakes, fmt.Errorf("default_response_format %s is not url, b64_json or both", quote(f.DefaultResponseFormat)))
	}
	if f.Steps != nil {
		m.Steps = *f.Steps
	}
	if f.CFG != nil {
		m.CFG = *f.CFG
	}
	mistakes = append(mistakes, f.Limits.apply(&m.Limits))
	f.tables(&m)
	return m, errors.Join(mistakes...)
}

func (f fileLimits) apply(l *imagegen.Limits) error {
	l.MinSide, l.MaxSide = cmp.Or(f.MinSide, l.MinSide), cmp.Or(f.MaxSide, l.MaxSide)
	switch len(f.Steps) {
	case 0:
	case 2:
		l.MinSteps, l.MaxSteps = f.Steps[0], f.Steps[1]
	default:
		return errors.New("limits: steps takes two numbers, the fewest and the most")
	}
	return nil
}

func (f fileModel) tables(m *imagegen.Model) {
	if f.DefaultSize != (fileSize{}) {
		m.DefaultSize = imagegen.Size(f.DefaultSize)
	}
	if f.Ratios != nil {
		m.Ratios = make(map[string]imagegen.Size, len(f.Ratios))
		for ratio, size := range f.Ratios {
			m.Ratios[ratio] = imagegen.Size(size)
		}
	}
	if f.Qualities != nil {
		m.Qualities = make(map[string]imagegen.Quality, len(f.Qualities))
		for name, q := range f.Qualities {
			m.Qualities[name] = imagegen.Quality{MaxSide: q.MaxSide, Steps: q.Steps}
		}
	}
}
