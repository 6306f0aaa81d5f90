package httpapi_test

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/jsonschema/v6"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	document, err := libopenapi.NewDocument(openAPI(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := document.GetVersion(); got != "3.1.0" {
		t.Errorf("it is written in OpenAPI %s", got)
	}
	v, errs := validator.NewValidator(document)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	t.Cleanup(v.Release)
	if _, faults := v.ValidateDocument(); len(faults) > 0 {
		for _, fault := range faults {
			t.Errorf("%s: %s", fault.Message, fault.Reason)
			for _, at := range fault.SchemaValidationErrors {
				t.Errorf("  %s: %s", at.FieldPath, at.Reason)
			}
		}
	}
}

// TestOpenAPIExamples reads every schema, and sees that the examples are what the schemas beside them say.
func TestOpenAPIExamples(t *testing.T) {
	t.Parallel()
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI(t)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	const name = "mem:openapi.json"
	if err := compiler.AddResource(name, root); err != nil {
		t.Fatal(err)
	}
	examples := 0
	eachObject(root, "#", func(at string, o map[string]any) {
		if _, ok := o["schema"]; !ok {
			return
		}
		schema, err := compiler.Compile(name + at + "/schema")
		if err != nil {
			t.Errorf("%s: %v", at, err)
			return
		}
		example, ok := o["example"]
		if !ok || strings.HasSuffix(at, "/text~1event-stream") {
			return
		}
		examples++
		if err := schema.Validate(example); err != nil {
			t.Errorf("%s: the example: %v", at, err)
		}
	})
	if examples < 10 {
		t.Errorf("only %d examples were found", examples)
	}
}

// TestOpenAPIWebhook compares what clients' servers are told with what the document says of it.
func TestOpenAPIWebhook(t *testing.T) {
	t.Parallel()
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI(t)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	const name = "mem:openapi.json"
	if err := compiler.AddResource(name, root); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(name + "#/components/schemas/WebhookEvent")
	if err != nil {
		t.Fatal(err)
	}
	cancelled := dogJob()
	cancelled.Status, cancelled.CompletedAt = job.StatusCancelled, time.Unix(1730800009, 0)
	for _, j := range []job.Job{finished(dogJob()), failed(dogJob(), imagegen.KindUpstreamRejected), cancelled} {
		m, err := webhook.NewMessage(j, openai.NewJob(j, job.Outlook{}))
		if err != nil {
			t.Fatal(err)
		}
		event, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Payload))
		if err == nil {
			err = schema.Validate(event)
		}
		if err != nil {
			t.Errorf("%s: %v in %s", j.Status, err, m.Payload)
		}
	}
}

// eachObject calls f with every object in v and the JSON pointer to it.
func eachObject(v any, at string, f func(at string, o map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(at, v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			eachObject(v[name], at+"/"+strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name), f)
		}
	case []any:
		for i, member := range v {
			eachObject(member, at+"/"+strconv.Itoa(i), f)
		}
	}
}
