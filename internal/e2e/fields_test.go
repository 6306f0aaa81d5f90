package e2e_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"testing"
)

// oddFields are members that OpenAI's API knows, or that clients add, in all the forms they come in. None may be the
// reason for an error: whoever cannot use it ignores it.
var oddFields = map[string][]string{
	"n":                     {`null`, `1`, `"1"`},
	"seed":                  {`null`, `-1`, `0`, `42`},
	"size":                  {`null`, `"auto"`, `""`},
	"quality":               {`null`, `"auto"`, `"standard"`, `"hd"`, `"low"`, `"medium"`, `"high"`},
	"width":                 {`null`},
	"negative_prompt":       {`null`, `""`},
	"response_format":       {`null`, `"url"`, `"text"`, `{"type":"text"}`, `{"type":"json_object"}`, `{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}}`},
	"stream":                {`null`, `false`},
	"stream_options":        {`null`, `{}`, `{"include_usage":true}`, `{"include_usage":null}`},
	"service_tier":          {`null`, `"auto"`, `"flex"`},
	"store":                 {`null`, `true`, `false`},
	"tools":                 {`null`, `[]`, `[{"type":"function","function":{"name":"draw","parameters":{"type":"object"}}}]`},
	"tool_choice":           {`null`, `"none"`, `"auto"`, `"required"`, `{"type":"function","function":{"name":"draw"}}`},
	"parallel_tool_calls":   {`null`, `true`, `false`},
	"functions":             {`[]`},
	"max_tokens":            {`null`, `4096`},
	"max_completion_tokens": {`null`, `4096`},
	"temperature":           {`null`, `0`, `1.5`},
	"top_p":                 {`null`, `0.9`},
	"stop":                  {`null`, `"\n"`, `["a","b"]`},
	"logit_bias":            {`null`, `{}`, `{"50256":-100}`},
	"logprobs":              {`null`, `true`, `5`},
	"top_logprobs":          {`null`, `5`},
	"presence_penalty":      {`null`, `0`, `-2`},
	"frequency_penalty":     {`null`, `0`, `2`},
	"user":                  {`null`, `""`, `"user-1"`},
	"safety_identifier":     {`"user-1"`},
	"metadata":              {`null`, `{}`, `{"chat":"1"}`},
	"modalities":            {`null`, `["text"]`, `[]`},
	"audio":                 {`null`},
	"prediction":            {`null`, `{"type":"content","content":"x"}`},
	"reasoning_effort":      {`null`, `"none"`, `"high"`},
	"verbosity":             {`null`, `"low"`},
	"background":            {`null`, `"auto"`, `"transparent"`, `"opaque"`},
	"moderation":            {`null`, `"auto"`, `"low"`},
	"output_format":         {`null`, `"png"`},
	"output_compression":    {`null`, `100`, `50`},
	"partial_images":        {`null`, `0`, `3`},
	"style":                 {`null`, `"vivid"`, `"natural"`, `"anime"`},
	"input_fidelity":        {`null`, `"high"`, `"low"`},
	"aspectRatio":           {`null`, `"16:9"`},
	"unheard_of":            {`null`, `true`, `1`, `-1.5e3`, `"x"`, `[]`, `[1,[null]]`, `{}`, `{"a":{"b":[]}}`},
}

// oddMessages are contents of a chat message that say what to draw among other things.
var oddMessages = map[string]string{
	"parts":                       `[{"type":"text","text":"a cat"}]`,
	"parts with more members":     `[{"type":"text","text":"a cat","cache_control":{"type":"ephemeral"}}]`,
	"a part of the Responses API": `[{"type":"input_text","text":"a cat"}]`,
	"a part of an unknown type":   `[{"type":"input_audio","input_audio":{"data":"","format":"wav"}},{"type":"text","text":"a cat"},{"type":"hologram","depth":3}]`,
	"a file":                      `[{"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;base64,YQ=="}},{"type":"text","text":"a cat"}]`,
}

// TestOddFields sends every odd but legal field, one at a time, to chat and to images.
func TestOddFields(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	ends := map[string]map[string]any{
		"/v1/chat/completions":   chat("a cat"),
		"/v1/images/generations": {"model": "Z-Image", "prompt": "a cat"},
	}
	calls := 0
	for path, plain := range ends {
		for field, forms := range oddFields {
			for _, form := range forms {
				body := maps.Clone(plain)
				body[field] = json.RawMessage(form)
				calls++
				if r := g.do(http.MethodPost, path, body); r.status != http.StatusOK {
					t.Errorf("%s with %s %s: %d %s", path, field, form, r.status, r.body)
				}
			}
		}
	}
	for name, content := range oddMessages {
		body := chat("")
		body["messages"] = []any{map[string]any{"role": "user", "name": "me", "content": json.RawMessage(content)}}
		calls++
		if r := g.do(http.MethodPost, "/v1/chat/completions", body); r.status != http.StatusOK {
			t.Errorf("a message with %s: %d %s", name, r.status, r.body)
		}
	}
	for _, r := range g.upstream.Requests() {
		if r.Body.Prompt != "a cat" {
			t.Errorf("the upstream was told to draw %q", r.Body.Prompt)
		}
	}
	if !t.Failed() && g.upstream.Calls() != calls {
		t.Errorf("%d calls of the upstream for %d pictures", g.upstream.Calls(), calls)
	}
}
