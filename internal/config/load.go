package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// StandaloneKey is the client key of standalone mode where none is set.
const StandaloneKey = "sk-standalone"

// LoadAPI returns the settings of the api process.
func LoadAPI(environ []string) (API, error) {
	var c API
	l := newLoader(environ, variables(c))
	l.parse(&c)
	l.checkAPI(&c)
	f := l.checkFile(c.Common, Worker{}, upstreamKeyType)
	c.take(f)
	l.checkKeys(&c)
	if !l.hasKeys(c) {
		l.mistake("GATEWAY_API_KEY", "required: the keys that clients present, comma-separated")
	}
	return c, l.err()
}

// LoadWorker returns the settings of the worker process.
func LoadWorker(environ []string) (Worker, error) {
	var c Worker
	l := newLoader(environ, variables(c))
	l.parse(&c)
	l.checkWorker(&c)
	f := l.checkFile(c.Common, c, clientDigestType)
	c.Models, c.Upstreams = f.models, f.upstreams
	if c.UpstreamKey == "" && !l.ownUpstreams {
		l.mistake("SD_API_KEY", "required: the upstream's key")
	}
	return c, l.err()
}

// LoadStandalone returns the settings of both parts of a process that runs on its own. There REDIS_URL is not read, a
// loopback listener needs no client key, and without SD_API_KEY and upstreams in CONFIG_FILE the one there is has no key: it
// is to be simulated.
func LoadStandalone(environ []string) (API, Worker, error) {
	var (
		a API
		w Worker
	)
	l := newLoader(environ, variables(a, w), "REDIS_URL")
	_, ownURL := l.vars["SD_API_URL"]
	if l.vars["LISTEN_ADDR"] == "" {
		l.vars["LISTEN_ADDR"] = "127.0.0.1:8080"
	}
	l.parse(&a)
	l.parse(&w)
	l.checkAPI(&a)
	l.checkWorker(&w)
	f := l.checkFile(a.Common, w)
	a.take(f)
	w.Models, w.Upstreams = f.models, f.upstreams
	l.checkKeys(&a)
	if !l.hasKeys(a) {
		a.Keys = []Secret{StandaloneKey}
	}
	_, named := a.clientKey(StandaloneKey)
	if (named || slices.Contains(a.Keys, StandaloneKey)) && !loopback(a.ListenAddr) && !l.wrong("LISTEN_ADDR") {
		l.mistake("GATEWAY_API_KEY", "a key of your own is required, as LISTEN_ADDR is not a loopback address")
	}
	if ownURL && w.UpstreamKey == "" && !l.ownUpstreams {
		l.mistake("SD_API_KEY", "required where SD_API_URL is set (without both the upstream is simulated)")
	}
	return a, w, l.err()
}

// take keeps what the api needs of CONFIG_FILE.
func (c *API) take(f contents) {
	c.Models, c.ClientKeys, c.Upstreams = f.models, f.keys, asSeenByAPI(f.upstreams)
}

// hasKeys reports whether clients have keys, as far as one can tell: a file that cannot be read may hold some.
func (l *loader) hasKeys(c API) bool { return len(c.Keys) > 0 || len(c.ClientKeys) > 0 || l.unread }

// variable is one setting as its struct tags describe it.
type variable struct {
	name, def, unset, doc string
	min, max              string
	secret                bool
	field                 string // of the struct
}

// variables lists the settings of the structs, each name once.
func variables(structs ...any) []variable {
	var (
		all  []variable
		seen = map[string]bool{}
	)
	for _, s := range structs {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(s)) {
			name := f.Tag.Get("env")
			if name == "" || seen[name] {
				continue
			}
			seen[name] = true
			all = append(all, variable{
				name: name, def: f.Tag.Get("envDefault"), unset: f.Tag.Get("unset"), doc: f.Tag.Get("doc"),
				min: f.Tag.Get("min"), max: f.Tag.Get("max"), secret: f.Tag.Get("secret") == "true", field: f.Name,
			})
		}
	}
	return all
}

// loader turns an environment into settings and collects the mistakes.
type loader struct {
	known    []variable
	vars     map[string]string // set and not empty
	mistakes map[string]string // by name of the variable
	environ  environment       // the whole environment, for CONFIG_FILE
	inFile   []string          // mistakes of CONFIG_FILE, one line each
	unread   bool              // the keys of CONFIG_FILE could not be read
	// ownUpstreams is set where CONFIG_FILE has upstreams, as far as one can tell.
	ownUpstreams bool
}

// newLoader keeps the known variables of an environment, and reads those secrets that are in files.
func newLoader(environ []string, known []variable, unread ...string) *loader {
	l := &loader{known: known, vars: map[string]string{}, mistakes: map[string]string{}}
	all := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		all[name] = strings.TrimSpace(value)
	}
	for _, name := range unread {
		delete(all, name)
		delete(all, name+fileSuffix)
	}
	l.environ = all
	for _, v := range known {
		if value := all[v.name]; value != "" {
			l.vars[v.name] = value
		}
		if path := all[v.name+fileSuffix]; v.secret && path != "" {
			l.readFile(v.name, path)
		}
	}
	return l
}

// parse fills a struct of settings.
func (l *loader) parse(c any) {
	err := env.ParseWithOptions(c, env.Options{Environment: l.vars, FuncMap: parsers})
	if all, ok := errors.AsType[env.AggregateError](err); ok {
		for _, err := range all.Errors {
			l.parseMistake(c, err)
		}
	}
	l.checkRanges(c)
}

// parseMistake finds the variable that the library's error is about, which names the struct's field.
func (l *loader) parseMistake(c any, err error) {
	if e, ok := errors.AsType[env.ParseError](err); ok {
		if f, ok := reflect.TypeOf(c).Elem().FieldByName(e.Name); ok {
			l.mistake(f.Tag.Get("env"), e.Err.Error())
			return
		}
	}
	panic("config: struct tags: " + err.Error()) // no value can cause it
}

// mistake notes what is wrong with a variable, on one line of bounded length; the first one found counts.
func (l *loader) mistake(name, text string) {
	if l.wrong(name) {
		return
	}
	l.mistakes[name] = oneLine(text)
}

func (l *loader) wrong(name string) bool { return l.mistakes[name] != "" }

// err returns the mistakes, one line each, in the order of the documentation.
func (l *loader) err() error {
	var errs []error
	for _, v := range l.known {
		// A mistake with the file explains whatever else is wrong with the value.
		for _, name := range []string{v.name + fileSuffix, v.name} {
			if l.wrong(name) {
				errs = append(errs, errors.New(name+": "+l.mistakes[name]))
				break
			}
		}
	}
	for _, line := range l.inFile {
		errs = append(errs, errors.New(line))
	}
	return errors.Join(errs...)
}
