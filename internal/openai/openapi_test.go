package openai_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// schema is one of the OpenAPI document's, decoded.
type schema = map[string]any

// comparison compares Go types with schemas; reached are the schemas that were looked at.
type comparison struct {
	t       *testing.T
	schemas map[string]schema
	reached map[string]bool
}

// TestOpenAPI compares what is encoded with what the document says of it: a field that is in one of them only is a fault.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	c := &comparison{t: t, schemas: documented(t), reached: map[string]bool{}}
	for name, reply := range openai.Replies() {
		c.compare(name, reflect.TypeOf(reply), schema{"$ref": "#/components/schemas/" + name})
	}
	for name, s := range c.schemas {
		// Requests allow more than they name. Health and the frame of a webhook's event are not of this package.
		if s["additionalProperties"] == false && !c.reached[name] && name != "Health" && name != "WebhookEvent" {
			t.Errorf("nothing is encoded as the schema %s", name)
		}
	}
}

func documented(t *testing.T) map[string]schema {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "httpapi", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	return document.Components.Schemas
}

// open follows references and takes null apart from the type beside it.
func (c *comparison) open(s schema) (opened schema, null bool) {
	if ref, ok := s["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		c.reached[name] = true
		return c.open(c.schemas[name])
	}
	if either, ok := s["anyOf"].([]any); ok && s["type"] == nil && len(either) == 2 {
		first, _ := either[0].(schema)
		second, _ := either[1].(schema)
		opened, _ = c.open(first)
		return opened, second["type"] == "null"
	}
	if either, ok := s["type"].([]any); ok && len(either) == 2 && either[1] == "null" {
		s = maps.Clone(s)
		s["type"] = either[0]
		return s, true
	}
	return s, s["type"] == "null"
}

// compare compares a value that is always there.
func (c *comparison) compare(at string, t reflect.Type, s schema) {
	c.t.Helper()
	s, null := c.open(s)
	if wantNull := t.Kind() == reflect.Pointer; null != wantNull {
		c.t.Errorf("%s: null is allowed: %t, of %s", at, null, t)
	}
	c.content(at, t, s)
}

// content compares what is not null.
func (c *comparison) content(at string, t reflect.Type, s schema) {
	c.t.Helper()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
		if isEmpty(t) { // what is always null
			if s["type"] != "null" {
				c.t.Errorf("%s: the schema's type is %v, want null alone", at, s["type"])
			}
			return
		}
	}
	if want := typeOf(t); s["type"] != want {
		c.t.Errorf("%s: the schema's type is %v, want %s", at, s["type"], want)
		return
	}
	items, _ := s["items"].(schema)
	switch want := typeOf(t); {
	case t.Kind() == reflect.Struct:
		c.fields(at, t, s)
	case want == "object":
		members, _ := s["additionalProperties"].(schema)
		c.compare(at+".*", t.Elem(), members)
	case want == "array" && !isEmpty(t.Elem()):
		c.compare(at+"[]", t.Elem(), items)
	case want == "array" && s["maxItems"] != 0.0: // what is always empty
		c.t.Errorf("%s: the schema allows members", at)
	case want == "string" && t.Kind() == reflect.Slice && s["contentEncoding"] != "base64":
		c.t.Errorf("%s: the schema does not say that it is base64", at)
	}
}

// fields compares names, which of them are required, and what they hold.
func (c *comparison) fields(at string, t reflect.Type, s schema) {
	c.t.Helper()
	if s["additionalProperties"] != false {
		c.t.Errorf("%s: the schema allows further fields", at)
	}
	properties, _ := s["properties"].(schema)
	var names, required []string
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
		p, _ := properties[name].(schema)
		if options != "omitempty" {
			required = append(required, name)
			c.compare(at+"."+name, f.Type, p)
			continue
		}
		p, null := c.open(p)
		if null {
			c.t.Errorf("%s.%s: null is allowed for a field that is left out instead", at, name)
		}
		c.content(at+"."+name, f.Type, p)
	}
	var described []string
	all, _ := s["required"].([]any)
	for _, name := range all {
		described = append(described, name.(string)) //nolint:errcheck,forcetypeassert // the document is valid
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(described)), slices.Sorted(slices.Values(required))); diff != "" {
		c.t.Errorf("%s: required fields (-document +%s):\n%s", at, t, diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(properties)), slices.Sorted(slices.Values(names))); diff != "" {
		c.t.Errorf("%s: fields (-document +%s):\n%s", at, t, diff)
	}
}

func isEmpty(t reflect.Type) bool { return t.Kind() == reflect.Struct && t.NumField() == 0 }

// types are the JSON types of what is encoded.
var types = map[reflect.Kind]string{
	reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint32: "integer",
	reflect.Float64: "number", reflect.Struct: "object", reflect.Map: "object", reflect.Slice: "array",
}

// typeOf returns the JSON type of what is encoded from t.
func typeOf(t reflect.Type) string {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return "string"
	}
	return types[t.Kind()]
}

// class is one of the classes in the source of ClassOf: a list of kinds here would miss the next one.
var class = regexp.MustCompile(`Class\{http\.\w+, \w+, "(\w+)"\}`)

// TestOpenAPIErrorCodes compares the document's codes with those of all kinds of failure.
func TestOpenAPIErrorCodes(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("failure.go")
	if err != nil {
		t.Fatal(err)
	}
	var encoded, described []string
	for _, match := range class.FindAllSubmatch(source, -1) {
		encoded = append(encoded, string(match[1]))
	}
	codes, _ := documented(t)["ErrorCode"]["enum"].([]any)
	for _, code := range codes {
		described = append(described, code.(string)) //nolint:errcheck,forcetypeassert // the document is valid
	}
	slices.Sort(encoded)
	slices.Sort(described)
	if diff := cmp.Diff(described, encoded); diff != "" {
		t.Errorf("codes (-document +ClassOf):\n%s", diff)
	}
}
