package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// The types of upstreams.
const (
	TypeExacg   = "exacg"
	TypeOpenAI  = "openai"
	TypeSDWebUI = "sdwebui"
)

// Bounds of an upstream's entry. Those of UPSTREAM_MAX_CONCURRENCY and UPSTREAM_TIMEOUT are the same.
const (
	maxConcurrency     = 10_000
	minUpstreamTimeout = time.Millisecond
	maxUpstreamTimeout = time.Hour
	maxUpstreamModel   = 300 // bytes of the upstream's own name for a model
	maxFieldName       = 64
)

const (
	impliedName = "exacg"    // as the default model has it
	takenName   = "webhooks" // a queue of its own has that name
)

// Upstream is a service that draws: an entry of CONFIG_FILE, or the one that SD_API_URL and SD_API_KEY stand for. The api
// knows its name and type, and nothing else of it.
type Upstream struct {
	// Name is 1 to 64 letters, digits, dots, underscores and hyphens. No two differ in case only.
	Name string
	Type string // exacg, openai or sdwebui
	URL  string // absolute http(s), without user and password
	// APIKeys are used in turn. An exacg upstream has at least one, except where it is to be simulated.
	APIKeys []Secret
	// MaxConcurrency is the number of calls at once over all workers; 0: no limit.
	MaxConcurrency int
	// Timeout bounds one call.
	Timeout time.Duration
	// RetryAmbiguous lets calls be repeated that may have been billed.
	RetryAmbiguous bool
	// Models are the upstream's own names for models, by our ids: an openai's model, an sdwebui's checkpoint.
	Models map[string]string
	// Fields name the request fields of an openai's server that take what OpenAI has no field for: seed, steps, cfg and
	// negative_prompt. What is not in it is not sent.
	Fields map[string]string
	// ResponseFormat is what an openai's server is asked for: url, b64_json, base64 or none; empty: what its model allows.
	ResponseFormat string
}

// impliedUpstream is the one that there is without an entry of CONFIG_FILE.
func impliedUpstream(w Worker) Upstream {
	u := Upstream{Name: impliedName, Type: TypeExacg, URL: w.UpstreamURL, Timeout: w.UpstreamTimeout, RetryAmbiguous: w.RetryAmbiguous}
	if w.UpstreamKey != "" {
		u.APIKeys = []Secret{w.UpstreamKey}
	}
	return u
}

// asSeenByAPI leaves of the upstreams what the api may know.
func asSeenByAPI(upstreams []Upstream) []Upstream {
	seen := make([]Upstream, len(upstreams))
	for i, u := range upstreams {
		seen[i] = Upstream{Name: u.Name, Type: u.Type}
	}
	return seen
}

// fileUpstream is one entry of upstreams.
type fileUpstream struct {
	Name           string            `yaml:"name" required:"true"`
	Type           string            `yaml:"type" required:"true"`
	URL            string            `yaml:"url"`
	APIKeys        []upstreamKey     `yaml:"api_keys"`
	MaxConcurrency int               `yaml:"max_concurrency"`
	Timeout        *time.Duration    `yaml:"timeout"`
	RetryAmbiguous *bool             `yaml:"retry_ambiguous"`
	Models         map[string]string `yaml:"models"`
	Fields         map[string]string `yaml:"fields"`
	ResponseFormat string            `yaml:"response_format"`
}

// checkUpstreams completes the entries. A name is part of queues' names, <upstream>-<lane>: as no lane has a hyphen in it,
// two names that differ never make the same.
func checkUpstreams(r *report, entries []fileUpstream, defaults Worker) []Upstream {
	all := make([]Upstream, len(entries))
	for i, entry := range entries {
		p := path("upstreams").index(i)
		entry.checkName(r, p.field("name"), entries[:i])
		entry.checkAddress(r, p)
		entry.checkKeys(r, p.field("api_keys"))
		entry.checkFields(r, p)
		all[i] = entry.upstream(defaults)
		if n := entry.MaxConcurrency; n < 0 || n > maxConcurrency {
			r.mistake(p.field("max_concurrency"), "%d is outside 0 to %d", n, maxConcurrency)
		}
		if d := entry.Timeout; d != nil && (*d < minUpstreamTimeout || *d > maxUpstreamTimeout) {
			r.mistake(p.field("timeout"), "%v is outside %v to %v", *d, minUpstreamTimeout, maxUpstreamTimeout)
		}
	}
	return all
}

// upstream completes an entry.
func (f fileUpstream) upstream(defaults Worker) Upstream {
	u := Upstream{
		Name: f.Name, Type: f.Type, URL: f.URL, MaxConcurrency: f.MaxConcurrency, Models: f.Models,
		Timeout: defaults.UpstreamTimeout, RetryAmbiguous: defaults.RetryAmbiguous, Fields: f.Fields, ResponseFormat: f.ResponseFormat,
	}
	override(&u.Timeout, f.Timeout)
	override(&u.RetryAmbiguous, f.RetryAmbiguous)
	if f.URL == "" && f.Type == TypeExacg {
		u.URL = defaults.UpstreamURL
	}
	for _, key := range f.APIKeys {
		u.APIKeys = append(u.APIKeys, Secret(key))
	}
	return u
}

func (f fileUpstream) checkName(r *report, p path, earlier []fileUpstream) {
	switch {
	case !r.has(p):
		return
	case CheckName(f.Name) != nil:
		r.mistake(p, "%s", CheckName(f.Name))
	case strings.EqualFold(f.Name, takenName):
		r.mistake(p, "%s is the name of another queue", takenName)
	case slices.ContainsFunc(earlier, func(e fileUpstream) bool { return strings.EqualFold(e.Name, f.Name) }):
		r.mistake(p, "the name is taken (case does not count)")
	}
}

// checkAddress shows no URL: it may hold a password or a token.
func (f fileUpstream) checkAddress(r *report, p path) {
	known := f.Type == TypeExacg || f.Type == TypeOpenAI || f.Type == TypeSDWebUI
	if at := p.field("type"); r.has(at) && !known {
		r.mistake(at, "%s is not exacg, openai or sdwebui", r.quote(at, f.Type))
	}
	at := p.field("url")
	if !r.has(at) {
		if known && f.Type != TypeExacg {
			r.mistake(at, "this is required")
		}
		return
	}
	u, err := url.Parse(f.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		r.mistake(at, "%s", expectURL)
	case u.User != nil:
		r.mistake(at, "a user and a password do not belong here: put the secret under api_keys")
	case strings.Contains(f.URL, "#"):
		r.mistake(at, "the address of an upstream has no fragment")
	}
}

func (f fileUpstream) checkKeys(r *report, p path) {
	if len(f.APIKeys) == 0 && f.Type == TypeExacg {
		r.mistake(p, "at least one is required for the type exacg")
	}
	for i, key := range f.APIKeys {
		p := p.index(i)
		switch {
		case key == "":
			r.mistake(p, "the key is empty")
		case !visibleASCII(string(key)):
			r.mistake(p, "the key %s", expectKey)
		case f.Type == TypeSDWebUI && strings.Index(string(key), ":") < 1:
			r.mistake(p, "the key is not the user:password of the server's --api-auth")
		case slices.Contains(f.APIKeys[:i], key):
			r.mistake(p, "the key is listed twice")
		}
	}
}

// orderFields are what an openai's server may be sent beside what OpenAI has fields for.
var orderFields = []string{"seed", "steps", "cfg", "negative_prompt"}

// checkFields looks at what only servers of the OpenAI protocol differ in.
func (f fileUpstream) checkFields(r *report, p path) {
	fields, format := p.field("fields"), p.field("response_format")
	if f.Type != TypeOpenAI {
		for _, at := range []path{fields, format} {
			if r.has(at) {
				r.mistake(at, "only the type openai has this")
			}
		}
		return
	}
	if r.has(format) && !slices.Contains([]string{"url", "b64_json", "base64", "none"}, f.ResponseFormat) {
		r.mistake(format, "%s is not url, b64_json, base64 or none", r.quote(format, f.ResponseFormat))
	}
	for _, ours := range slices.Sorted(maps.Keys(f.Fields)) {
		at, theirs := fields.key(ours), f.Fields[ours]
		switch {
		case !slices.Contains(orderFields, ours):
			r.mistake(at, "there are seed, steps, cfg and negative_prompt")
		case theirs == "" || len(theirs) > maxFieldName || !visibleASCII(theirs):
			r.mistake(at, "a field's name is 1 to %d visible ASCII characters", maxFieldName)
		case slices.Contains([]string{"model", "prompt", "n", "size", "image", "response_format"}, theirs):
			r.mistake(at, "the field %s has another meaning", theirs)
		}
	}
}

// checkUpstreamModels looks at the upstreams' own names for models.
func checkUpstreamModels(r *report, entries []fileUpstream, models []imagegen.Model) {
	for i, entry := range entries {
		p := path("upstreams").index(i).field("models")
		if len(entry.Models) > 0 && entry.Type == TypeExacg {
			r.mistake(p, "the type exacg knows models by their model_index")
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(entry.Models)) {
			p := p.key(id)
			n := slices.IndexFunc(models, func(m imagegen.Model) bool { return m.ID == id })
			switch {
			case n < 0:
				if modelNames(r, models, nil) != nil {
					r.mistake(p, "there is no model with this id")
				}
			case r.sound(path("models").index(n).field("upstream")) && !slices.Contains(models[n].Upstreams, entry.Name):
				r.mistake(p, "the model does not name this upstream")
			}
			if name := entry.Models[id]; strings.TrimSpace(name) != name || name == "" || len(name) > maxUpstreamModel || oneLine(name) != name {
				r.mistake(p, "a name is 1 to %d bytes on one line, without spaces around it", maxUpstreamModel)
			}
		}
	}
}

// knownUpstreams reports whether the names of all n upstreams could be read.
func knownUpstreams(r *report, n int) bool {
	for i := range n {
		if !r.sound(path("upstreams").index(i).field("name")) {
			return false
		}
	}
	return true
}
