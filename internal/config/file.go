package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const maxConfigBytes = 1 << 20

// file is what CONFIG_FILE may hold. docs/config.schema.json says the same to editors.
type file struct {
	Models    []fileModel    `yaml:"models"`
	Upstreams []fileUpstream `yaml:"upstreams"`
	Keys      []fileKey      `yaml:"keys"`
}

// contents is what CONFIG_FILE says, completed and checked.
type contents struct {
	models    []imagegen.Model // nil: none is set
	upstreams []Upstream       // at least one
	keys      []ClientKey
}

// checkFile reads CONFIG_FILE, if there is one. worker has the defaults of its upstreams; unread are the secrets that
// nobody needs. What is wrong goes into the mistakes.
func (l *loader) checkFile(c Common, worker Worker, unread ...reflect.Type) contents {
	implied := impliedUpstream(worker)
	none := contents{upstreams: []Upstream{implied}}
	if c.ConfigFile == "" {
		l.checkAliases(nil, c.ModelAliases)
		return none
	}
	text, err := readConfig(c.ConfigFile)
	if err != nil {
		l.unread, l.ownUpstreams = true, true
		l.inFile = append(l.inFile, "CONFIG_FILE: "+oneLine(err.Error()))
		return none
	}
	r := newReport(filepath.Base(c.ConfigFile))
	var f file
	if root := parseYAML(text, r); root != nil {
		d := decoder{report: r, vars: l.environ, unread: unread}
		d.decode(root, reflect.ValueOf(&f).Elem(), "")
	}
	if len(f.Models) == 0 && len(f.Upstreams) == 0 && len(f.Keys) == 0 {
		r.mistake("", "at least one of models, upstreams and keys is required")
	}
	if !r.sound("upstreams") {
		implied.Type = "" // there are some in place of it, of types that nobody knows
	}
	result := f.check(r, implied, worker, c.ModelAliases)
	l.checkAliases(result.models, c.ModelAliases)
	l.unread, l.ownUpstreams = !r.sound("keys"), len(f.Upstreams) > 0 || !r.sound("upstreams")
	l.inFile = append(l.inFile, r.lines()...)
	return result
}

// check completes what the file says. implied is the upstream that there is without any in the file.
func (f *file) check(r *report, implied Upstream, worker Worker, aliases []string) contents {
	c := contents{upstreams: []Upstream{implied}}
	if len(f.Upstreams) > 0 {
		c.upstreams = checkUpstreams(r, f.Upstreams, worker)
	}
	c.models = checkModels(r, f.Models, c.upstreams)
	if len(f.Models) == 0 && len(f.Upstreams) > 0 {
		m := imagegen.DefaultModel()
		m.Upstreams = []string{c.upstreams[0].Name}
		c.models = []imagegen.Model{m}
	}
	checkUpstreamModels(r, f.Upstreams, c.models)
	c.keys = checkClientKeys(r, f.Keys, modelNames(r, c.models, aliases))
	return c
}

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read it: %w", err)
	case len(text) > maxConfigBytes:
		return nil, fmt.Errorf("larger than %d bytes", maxConfigBytes)
	}
	return text, nil
}

// checkAliases looks for further names of the first model that are taken.
func (l *loader) checkAliases(models []imagegen.Model, aliases []string) {
	if models == nil {
		models = []imagegen.Model{imagegen.DefaultModel()}
	}
	if len(imagegen.CheckModels(models)) > 0 {
		return // the file's own mistakes come first
	}
	// The first model comes last here: so it is its aliases that a clash is told of.
	first := models[0]
	first.Aliases = slices.Concat(first.Aliases, aliases)
	for _, e := range imagegen.CheckModels(append(slices.Clone(models[1:]), first)) {
		l.mistake("MODEL_ALIASES", e.Text)
	}
}
