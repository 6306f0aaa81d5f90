package openai_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// decoders read the members of a JSON body, as each generation endpoint does.
var decoders = map[string]func(body []byte) (openai.Ask, error){
	"chat":   func(b []byte) (openai.Ask, error) { r, err := openai.DecodeChat(b); return r.Ask, err },
	"images": func(b []byte) (openai.Ask, error) { r, err := openai.DecodeImages(b); return r.Ask, err },
	"edits": func(b []byte) (openai.Ask, error) {
		r, err := openai.DecodeEdit("application/json", b)
		return r.Ask, err
	},
	"jobs":      func(b []byte) (openai.Ask, error) { r, err := openai.DecodeJob(b); return r.Ask, err },
	"responses": func(b []byte) (openai.Ask, error) { r, err := openai.DecodeResponses(b); return r.Ask, err },
}

// plainBody has what every endpoint needs.
const plainBody = `"prompt":"a","input":"a","image":"http://x/y.png"`

// passed is what a model that passes fields through makes of a request.
func passed(t interface{ Fatal(args ...any) }, ask openai.Ask, fields ...string) imagegen.Spec {
	m := imagegen.DefaultModel()
	m.Passthrough = fields
	spec, err := m.NewSpec(ask.Params, func() uint32 { return 1 })
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestFieldsForTheUpstream(t *testing.T) {
	t.Parallel()
	body := "{" + plainBody + `,"style":"vivid","tiling":true,"strength": 0.50,"alwayson_scripts":{"b": [1, {"c":null}], "a":"<&>"},"absent":null,"other":1,"Sampler":"x"}`
	want := map[string]json.RawMessage{
		"style": json.RawMessage(`"vivid"`), "tiling": json.RawMessage("true"), "strength": json.RawMessage("0.50"),
		"alwayson_scripts": json.RawMessage(`{"b":[1,{"c":null}],"a":"<&>"}`),
	}
	for name, decode := range decoders {
		ask, err := decode([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := passed(t, ask, "style", "tiling", "strength", "alwayson_scripts", "absent", "missing", "sampler").Extra
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", name, diff)
		}
		if got := passed(t, ask).Extra; got != nil {
			t.Errorf("%s: a model that passes nothing through passes %s", name, got)
		}
	}
}

func TestFieldsForTheUpstreamInForms(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"style": `"vivid"`, "tiling": "true", "hires": "false", "strength": "0.5", "eta": "-1e3", "count": `"007"`, "nan": `"NaN"`, "hex": `"0x10"`,
		"json": `"{\"a\":1}"`, "null": `"null"`, "spaced": `" 1"`, "list": `"1,2"`, "prompt_strength": "1",
	}
	parts := []part{{name: "prompt", value: "a"}, {"image", "a.png", "1"}, {name: "seed", value: "7"}, {name: "empty"}, {name: "style", value: "vivid"}, {name: "style", value: "natural"}}
	for name, value := range map[string]string{
		"tiling": "true", "hires": "false", "strength": "0.5", "eta": "-1e3", "count": "007", "nan": "NaN", "hex": "0x10", "json": `{"a":1}`, "null": "null",
		"spaced": " 1", "list": "1,2", "prompt_strength": "1",
	} {
		parts = append(parts, part{name: name, value: value})
	}
	r, err := openai.DecodeEdit(form(t, parts...))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, raw := range passed(t, r.Ask, append(slices.Sorted(maps.Keys(want)), "empty")...).Extra {
		got[name] = string(raw)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if r.Params.Seed == nil || *r.Params.Seed != 7 {
		t.Error("a field of the gateway's own is read no more")
	}
}

// What the gateway reads is never handed on, whoever is asked to.
func TestOwnFieldsStayOurs(t *testing.T) {
	t.Parallel()
	own := ownFields(t)
	if len(own) < 20 {
		t.Fatalf("the document names %d fields only: %q", len(own), own)
	}
	for _, name := range own {
		if !imagegen.Reserved(name) || !imagegen.Reserved(strings.ToUpper(name)) {
			t.Errorf("%s is read by the gateway, and may be passed through", name)
		}
	}
	names := rapid.OneOf(rapid.SampledFrom(own), rapid.Map(rapid.SampledFrom(own), strings.ToUpper), rapid.StringMatching(`[a-z_]{1,12}`))
	values := rapid.SampledFrom([]string{"null", "1", `"x"`, "true", "[]", `{"a":1}`})
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.MapOf(names, values).Draw(t, "members")
		decode := decoders[rapid.SampledFrom(slices.Sorted(maps.Keys(decoders))).Draw(t, "endpoint")]
		body := "{"
		for name, value := range members {
			quoted, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			body += string(quoted) + ":" + value + ","
		}
		ask, err := decode([]byte(body + plainBody + "}"))
		if err != nil {
			return // a field of a wrong type
		}
		for name := range ask.Params.Extra {
			if imagegen.Reserved(name) {
				t.Errorf("%s is handed on", name)
			}
		}
		// All the rest is there for the model to choose from.
		for name, value := range members {
			if raw, ok := ask.Params.Extra[name]; !imagegen.Reserved(name) && (!ok || string(raw) != value) {
				t.Errorf("%s is %s, want %s", name, raw, value)
			}
		}
	})
}

// ownFields returns the members that the OpenAPI document has in the requests of the generation endpoints.
func ownFields(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "httpapi", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]struct {
						Schema schema `json:"schema"`
					} `json:"content"`
				} `json:"requestBody"`
			} `json:"post"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	schemas, names := documented(t), map[string]bool{}
	var collect func(s schema)
	collect = func(s schema) {
		if ref, ok := s["$ref"].(string); ok {
			collect(schemas[strings.TrimPrefix(ref, "#/components/schemas/")])
		}
		properties, _ := s["properties"].(schema)
		for name := range properties {
			names[name] = true
		}
		parts, _ := s["allOf"].([]any)
		for _, part := range parts {
			if s, ok := part.(schema); ok {
				collect(s)
			}
		}
	}
	for _, path := range []string{"/v1/chat/completions", "/v1/images/generations", "/v1/images/edits", "/v1/jobs", "/v1/responses"} {
		for _, c := range document.Paths[path].Post.RequestBody.Content {
			collect(c.Schema)
		}
	}
	return slices.Sorted(maps.Keys(names))
}
