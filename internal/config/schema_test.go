package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/pb33f/jsonschema/v6"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

const (
	schemaFile  = "../../docs/config.schema.json"
	exampleFile = "../../config.example.yaml"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path) //nolint:gosec // a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// node is a part of the schema, decoded.
type node = map[string]any

// schemas compares what the file is decoded into with what the schema says of it.
type schemas struct {
	t    *testing.T
	defs node
}

// TestSchemaKnowsEveryField fails for a field that only one of the two has, or that is of another type there.
func TestSchemaKnowsEveryField(t *testing.T) {
	t.Parallel()
	var root node
	if err := json.Unmarshal(read(t, schemaFile), &root); err != nil {
		t.Fatal(err)
	}
	defs, _ := root["$defs"].(node)
	schemas{t, defs}.compare("", config.FileType(), root)
}

func (s schemas) open(n node) node {
	if ref, ok := n["$ref"].(string); ok {
		opened, _ := s.defs[strings.TrimPrefix(ref, "#/$defs/")].(node)
		return s.open(opened)
	}
	return n
}

// either returns what a value may be, of which variables are not told.
func (s schemas) either(n node) []node {
	n = s.open(n)
	any, ok := n["anyOf"].([]any)
	if !ok {
		return []node{n}
	}
	var all []node
	for _, one := range any {
		one, _ := one.(node)
		if one["$ref"] != "#/$defs/variable" {
			all = append(all, s.either(one)...)
		}
	}
	return all
}

func (s schemas) compare(at string, typ reflect.Type, n node) {
	s.t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	forms := s.either(n)
	if typ.Name() == "oneOrMore" && len(forms) == 2 {
		s.compare(at+" alone", typ.Elem(), forms[0])
		forms = forms[1:]
	}
	if len(forms) != 1 {
		s.t.Errorf("%s may be %d things", at, len(forms))
		return
	}
	n = forms[0]
	if got, want := n["type"], jsonType(typ); got != want && !cmp.Equal(got, []any{want, "null"}) {
		s.t.Errorf("%s is of type %v, want %s", at, got, want)
		return
	}
	switch items, _ := n["items"].(node); {
	case jsonType(typ) == "array":
		s.compare(at+"[]", typ.Elem(), items)
	case typ.Kind() == reflect.Map:
		values, _ := n["additionalProperties"].(node)
		s.compare(at+".*", typ.Elem(), values)
	case jsonType(typ) == "object":
		s.fields(at, typ, n)
	}
}

func (s schemas) fields(at string, typ reflect.Type, n node) {
	s.t.Helper()
	properties, _ := n["properties"].(node)
	var required, wantRequired []string
	list, _ := n["required"].([]any)
	for _, name := range list {
		name, _ := name.(string)
		required = append(required, name)
	}
	known := map[string]bool{}
	for _, f := range reflect.VisibleFields(typ) {
		name := f.Tag.Get("yaml")
		known[name] = true
		if f.Tag.Get("required") == "true" {
			wantRequired = append(wantRequired, name)
		}
		property, ok := properties[name].(node)
		if !ok {
			s.t.Errorf("%s.%s is not in the schema", at, name)
			continue
		}
		s.compare(at+"."+name, f.Type, property)
	}
	for name := range properties {
		if !known[name] {
			s.t.Errorf("%s.%s is in the schema only", at, name)
		}
	}
	if diff := cmp.Diff(wantRequired, required); diff != "" || n["additionalProperties"] != false {
		s.t.Errorf("%s allows further fields, or requires others (-want +got):\n%s", at, diff)
	}
}

// jsonType returns what a Go type is in the schema.
func jsonType(typ reflect.Type) string {
	switch {
	case typ == reflect.TypeFor[time.Duration](), typ.Name() == "fileSize":
		return "string"
	case typ.Kind() == reflect.Struct, typ.Kind() == reflect.Map:
		return "object"
	case typ.Kind() == reflect.Slice:
		return "array"
	case typ.Kind() == reflect.Int:
		return "integer"
	case typ.Kind() == reflect.Float64:
		return "number"
	case typ.Kind() == reflect.Bool:
		return "boolean"
	}
	return "string"
}

// validate says what an editor with the schema would.
func validate(t *testing.T, text []byte) error {
	t.Helper()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, schemaFile)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(value)
}

// The example works as it is, and an editor agrees.
func TestExampleWorks(t *testing.T) {
	t.Parallel()
	text := read(t, exampleFile)
	first, _, _ := bytes.Cut(text, []byte("\n"))
	schema, ok := bytes.CutPrefix(first, []byte("# yaml-language-server: $schema="))
	if !ok {
		t.Fatalf("the first line names no schema: %s", first)
	}
	read(t, filepath.Join(filepath.Dir(exampleFile), string(schema)))
	if err := validate(t, text); err != nil {
		t.Error(err)
	}
	environ := []string{"CONFIG_FILE=" + exampleFile}
	a, err := config.LoadAPI(append(environ, "GATEWAY_API_KEY=k"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := config.LoadWorker(append(environ, "SD_API_KEY=one", "OTHER_API_KEY=two"))
	if err != nil {
		t.Fatal(err)
	}
	for process, got := range map[string][]string{"api": a.Summary(), "worker": w.Summary()} {
		if len(got) != 1 {
			t.Errorf("%s: there are warnings: %q", process, got)
		}
	}
	var types []string
	for _, u := range w.Upstreams {
		types = append(types, u.Type)
	}
	if slices.Sort(types); !slices.Equal(types, []string{"exacg", "openai", "sdwebui"}) {
		t.Errorf("it shows the types %q", types)
	}
}

// The schema accepts what the gateway does, and refuses what it does, as far as a schema can tell.
func TestSchemaAgreesWithTheLoader(t *testing.T) {
	t.Parallel()
	up := "upstreams: [{name: u, type: sdwebui, url: 'http://h', "
	for text, ok := range map[string]bool{
		threeUpstreams: true,
		"models: [{id: a, model_index: 1}]\nkeys:\n":                                                      true,
		"models: [{id: a, model_index: '${N}', steps: '${N}'}]":                                           true,
		up + "timeout: 30m5.5s, retry_ambiguous: '${B}'}]":                                                true,
		up + "max_concurrency: '${N}'}]":                                                                  true,
		"upstreams: [{name: u, type: openai, url: 'http://h', fields: {seed: s}, response_format: none}]": true,
		"keys: [{name: a, sha256: '${DIGEST}', rpm: 0}]":                                                  true,
		"keys: [{name: a, sha256: " + digest("a") + "}]":                                                  true,
		"upstreams: [{name: u, type: exacg, api_keys: ['${N}']}]":                                         true,

		"{}":                                 false,
		"model: []":                          false,
		"models: {}":                         false,
		"models: [{}]":                       false,
		"models: [{id: 1, model_index: 1}]":  false,
		"models: [{id: '', model_index: 1}]": false,
		"models: [{id: a, model_index: 1, stepz: 3}]":                                                 false,
		"models: [{id: a, model_index: -1}]":                                                          false,
		"models: [{id: a, model_index: '1'}]":                                                         false,
		"models: [{id: a, model_index: 1, steps: 0}]":                                                 false,
		"models: [{id: a, model_index: 1, cfg: 101}]":                                                 false,
		"models: [{id: a, model_index: 1, edit: 'yes'}]":                                              false,
		"models: [{id: a, model_index: 1, aliases: b}]":                                               false,
		"models: [{id: a, model_index: 1, upstream: []}]":                                             false,
		"models: [{id: a, model_index: 1, default_size: big}]":                                        false,
		"models: [{id: a, model_index: 1, ratios: {wide: 64x64}}]":                                    false,
		"models: [{id: a, model_index: 1, ratios: {'1:1': 64}}]":                                      false,
		"models: [{id: a, model_index: 1, qualities: {hd: {}}}]":                                      false,
		"models: [{id: a, model_index: 1, limits: {steps: [1]}}]":                                     false,
		"models: [{id: a, model_index: 1, limits: {min_side: 0}}]":                                    false,
		"models: [{id: a, model_index: 1, passthrough: [a b]}]":                                       false,
		"models: [{id: a, model_index: 1, passthrough: [a, a]}]":                                      false,
		"models: [{id: a, model_index: 1, default_response_format: x}]":                               false,
		"upstreams: [{name: u, type: sdwebui, url: 'http://h'}]\nmodels: [{id: a, upstream: [u, u]}]": false,
		up + "timeout: 3}]":              false,
		up + "timeout: '3'}]":            false,
		up + "max_concurrency: 10001}]":  false,
		up + "max_concurrency: 1.5}]":    false,
		up + "retry_ambiguous: 'true'}]": false,
		up + "api_keys: x}]":             false,
		up + "api_keys: [x, x]}]":        false,
		up + "api_keys: ['x y']}]":       false,
		up + "api_keys: ['']}]":          false,
		up + "models: {Z-Image: ''}}]":   false,
		up + "fields: {seed: s}}]":       false,
		up + "response_format: url}]":    false,
		"upstreams: [{name: u, type: openai, url: 'http://h', fields: {step: s}}]":    false,
		"upstreams: [{name: u, type: openai, url: 'http://h', fields: {seed: size}}]": false,
		"upstreams: [{name: u, type: openai, url: 'http://h', fields: {seed: ''}}]":   false,
		"upstreams: [{name: u, type: openai, url: 'http://h', response_format: png}]": false,
		"upstreams: [{name: a b, type: sdwebui, url: 'http://h'}]":                    false,
		"upstreams: [{type: sdwebui, url: 'http://h'}]":                               false,
		"upstreams: [{name: a, url: 'http://h'}]":                                     false,
		"upstreams: [{name: a, type: dalle, url: 'http://h'}]":                        false,
		"upstreams: [{name: a, type: openai}]":                                        false,
		"upstreams: [{name: a, type: openai, url: h}]":                                false,
		"upstreams: [{name: a, type: openai, url: 'http://u:p@h'}]":                   false,
		"upstreams: [{name: a, type: exacg}]":                                         false,
		"upstreams: [{name: a, type: exacg, api_keys: []}]":                           false,
		"upstreams: [{name: a, type: exacg, api_keys: [k], models: {Z-Image: x}}]":    false,
		"keys: [{name: a}]":                                                          false,
		"keys: [{name: a, sha256: abc}]":                                             false,
		"keys: [{name: a, sha256: " + digest("a") + ", models: []}]":                 false,
		"keys: [{name: a, sha256: " + digest("a") + ", rpm: -1}]":                    false,
		"keys: [{name: a, sha256: " + digest("a") + ", max_pending: 10000001}]":      false,
		"keys: [{name: a, sha256: " + digest("a") + ", images_per_day: 1000000001}]": false,
	} {
		environ := append(threeUpstreamsEnviron(t), "SD_API_KEY=k", "SECOND=s", "N=7", "B=true", "DIGEST="+digest("a"), configFile(t, text))
		_, _, err := config.LoadStandalone(environ)
		if (err == nil) != ok {
			t.Errorf("the gateway: %v\n%s", err, text)
		}
		if err := validate(t, []byte(text)); (err == nil) != ok {
			t.Errorf("the schema: %v\n%s", err, text)
		}
	}
}
