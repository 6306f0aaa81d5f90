package config

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// fileModel is one entry of models. What it leaves out is the default model's, brought within the entry's own limits.
type fileModel struct {
	ID          string                 `yaml:"id" required:"true"`
	OwnedBy     string                 `yaml:"owned_by"`
	Upstream    oneOrMore              `yaml:"upstream"`
	ModelIndex  *int                   `yaml:"model_index"`
	Steps       *int                   `yaml:"steps"`
	CFG         *float64               `yaml:"cfg"`
	Limits      fileLimits             `yaml:"limits"`
	DefaultSize *fileSize              `yaml:"default_size"`
	Ratios      map[string]fileSize    `yaml:"ratios"` // replaces the default table
	Qualities   map[string]fileQuality `yaml:"qualities"`
	Passthrough []string               `yaml:"passthrough"`
	Aliases     []string               `yaml:"aliases"`
	Edit        bool                   `yaml:"edit"`
	// DefaultResponseFormat is url, b64_json or both.
	DefaultResponseFormat string `yaml:"default_response_format"`
}

type fileLimits struct {
	MinSide *int  `yaml:"min_side"`
	MaxSide *int  `yaml:"max_side"`
	Steps   []int `yaml:"steps"` // fewest and most
}

type fileQuality struct {
	MaxSide int `yaml:"max_side"`
	Steps   int `yaml:"steps"`
}

// fileSize is a size written as 1024x768.
type fileSize imagegen.Size

var errSize = errors.New("is not a size such as 1024x768")

func (s *fileSize) readText(text string) error {
	size, ok := imagegen.ParseSize(text)
	if !ok {
		return errSize
	}
	*s = fileSize(size)
	return nil
}

// checkModels completes the entries and sees whether they make a catalogue. A clash with MODEL_ALIASES is not its to find.
func checkModels(r *report, entries []fileModel, upstreams []Upstream) []imagegen.Model {
	var all []imagegen.Model
	for i, entry := range entries {
		p := path("models").index(i)
		m := entry.model()
		m.Upstreams = checkModelUpstreams(r, p.field("upstream"), entry.Upstream, upstreams)
		native := slices.ContainsFunc(upstreams, func(u Upstream) bool { return u.Type == TypeExacg && slices.Contains(m.Upstreams, u.Name) })
		if native && !r.has(p.field("model_index")) {
			r.mistake(p.field("model_index"), "this is required where an upstream is of type exacg")
		}
		if f := p.field("limits").field("steps"); r.has(f) && r.sound(f) && len(entry.Limits.Steps) != 2 {
			r.unreadable(r.at(f), f, "two numbers are expected, the fewest and the most")
		}
		if f := p.field("default_response_format"); r.has(f) && !slices.Contains([]string{"url", "b64_json", "both"}, m.DefaultResponseFormat) {
			r.mistake(f, "%s is not url, b64_json or both", r.quote(f, m.DefaultResponseFormat))
		}
		all = append(all, m)
	}
	for _, e := range imagegen.CheckModels(all) {
		p := path("models").index(e.Index)
		named := e.Field == "id" || strings.HasPrefix(e.Field, "aliases[")
		switch {
		case e.Field == "id" && !r.has(p.field("id")), e.Field == "upstream" && len(all[e.Index].Upstreams) > 0: // told already
		case !named && !r.sound(p.field("limits")): // what is outside of the default limits may be within those meant
		default:
			r.mistake(p.field(e.Field), "%s", e.Text)
		}
	}
	return all
}

// checkModelUpstreams returns the upstreams of a model: those it names, or the first.
func checkModelUpstreams(r *report, p path, names []string, upstreams []Upstream) []string {
	if !r.has(p) {
		return []string{upstreams[0].Name}
	}
	for i, name := range names {
		p := p.index(i)
		switch {
		case slices.Contains(names[:i], name):
			r.mistake(p, "%s is listed twice", r.quote(p, name))
		case !slices.ContainsFunc(upstreams, func(u Upstream) bool { return u.Name == name }) && knownUpstreams(r, len(upstreams)):
			r.mistake(p, "there is no upstream %s", r.quote(p, name))
		}
	}
	return names
}

// model completes an entry, apart from its upstreams. Whether its values are possible is the catalogue's to say.
func (f fileModel) model() imagegen.Model {
	m := imagegen.DefaultModel()
	m.ID, m.Aliases, m.Edit, m.DefaultResponseFormat = f.ID, f.Aliases, f.Edit, f.DefaultResponseFormat
	m.OwnedBy, m.Passthrough = cmp.Or(f.OwnedBy, m.OwnedBy), f.Passthrough
	m.ModelIndex = 0
	override(&m.ModelIndex, f.ModelIndex)
	override(&m.Limits.MinSide, f.Limits.MinSide)
	override(&m.Limits.MaxSide, f.Limits.MaxSide)
	if len(f.Limits.Steps) == 2 {
		m.Limits.MinSteps, m.Limits.MaxSteps = f.Limits.Steps[0], f.Limits.Steps[1]
	}
	m = m.WithinLimits()
	override(&m.Steps, f.Steps)
	override(&m.CFG, f.CFG)
	f.tables(&m)
	return m
}

// override gives a setting the value of the file, where that has one.
func override[T any](setting, written *T) {
	if written != nil {
		*setting = *written
	}
}

func (f fileModel) tables(m *imagegen.Model) {
	if f.DefaultSize != nil {
		m.DefaultSize = imagegen.Size(*f.DefaultSize)
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

// modelNames returns the names of the models on offer, in lower case; nil where some could not be read.
func modelNames(r *report, models []imagegen.Model, aliases []string) map[string]bool {
	if models == nil {
		models = []imagegen.Model{imagegen.DefaultModel()}
	}
	for i := range models {
		if p := path("models").index(i); !r.sound(p.field("id")) || !r.sound(p.field("aliases")) {
			return nil
		}
	}
	names := map[string]bool{}
	for _, alias := range aliases {
		names[strings.ToLower(alias)] = true
	}
	for _, m := range models {
		names[strings.ToLower(m.ID)] = true
		for _, alias := range m.Aliases {
			names[strings.ToLower(alias)] = true
		}
	}
	return names
}
