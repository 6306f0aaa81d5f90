package openai_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func TestDecodeChat(t *testing.T) {
	t.Parallel()
	prompt := func(s string) openai.ChatRequest {
		return openai.ChatRequest{Ask: openai.Ask{Params: imagegen.Params{Prompt: s}}}
	}
	cases := map[string]struct {
		body string
		want openai.ChatRequest
	}{
		"the seed's example": {
			`{"model":"Z-Image","messages":[{"role":"user","content":"一只可爱的小狗，1:2"}]}`,
			openai.ChatRequest{Ask: openai.Ask{Model: "Z-Image", Params: imagegen.Params{Prompt: "一只可爱的小狗，1:2"}}},
		},
		"the last user message counts": {
			`{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"x"},{"role":"user","content":"b"},{"role":"assistant","content":null}]}`,
			prompt("b"),
		},
		"the assistant's last picture is remembered": {
			`{"messages":[{"role":"assistant","content":"![a](http://a/1.png)"},{"role":"assistant","content":"![a [b\\]](http://a/2.png) and ![c](http://a/3.png)"},{"role":"user","content":"b"}]}`,
			openai.ChatRequest{Ask: prompt("b").Ask, Talk: openai.Talk{Previous: &openai.Source{URL: "http://a/3.png"}}},
		},
		"text parts are joined by a space": {
			`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_text","text":"b"},"c",{"type":"text","text":null},{"type":"file"},{"text":"d"}]}]}`,
			prompt("a b c d"),
		},
		"pictures of earlier messages are nobody's business": {
			`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]},{"role":"user","content":"b"}]}`,
			prompt("b"),
		},
		"a picture in the last message": {
			`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"http://x/y.png"}},{"type":"image_url","image_url":"http://z"}]}]}`,
			openai.ChatRequest{Ask: openai.Ask{Params: imagegen.Params{Prompt: "a"}, Source: &openai.Source{URL: "http://x/y.png"}}},
		},
		"a picture inside the last message": {
			`{"messages":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:image/png;base64,aGk="}]}]}`,
			openai.ChatRequest{Ask: openai.Ask{Params: imagegen.Params{Prompt: "a"}, Source: &openai.Source{Data: []byte("hi")}}},
		},
		"modalities may ask for images":              {`{"prompt":"a","modalities":["text","image"]}`, openai.ChatRequest{Ask: prompt("a").Ask, Images: true}},
		"modalities may be anything":                 {`{"prompt":"a","modalities":["text",1]}`, prompt("a")},
		"modalities may be no list":                  {`{"prompt":"a","modalities":"image"}`, prompt("a")},
		"a bare prompt does without messages":        {`{"prompt":"a"}`, prompt("a")},
		"a bare prompt does beside null messages":    {`{"messages":null,"prompt":"a"}`, prompt("a")},
		"a bare prompt does beside empty messages":   {`{"messages":[],"prompt":"a"}`, prompt("a")},
		"messages win over a prompt":                 {`{"messages":[{"role":"user","content":"a"}],"prompt":"b"}`, prompt("a")},
		"the prompt is left as it is":                {`{"prompt":" a\n\n b "}`, prompt(" a\n\n b ")},
		"null is absent":                             {`{"prompt":"a","model":null,"n":null,"size":null,"seed":null,"cfg":null,"stream":null,"stream_options":null,"quality":null,"negative_prompt":null,"width":null,"height":null,"steps":null}`, prompt("a")},
		"what nobody knows is ignored":               {`{"prompt":"a","temperature":"hot","response_format":{"type":"text"},"tools":[1],"Width":"wide","user":{}}`, prompt("a")},
		"the last of a field's repetitions counts":   {`{"prompt":"a","prompt":"b"}`, prompt("b")},
		"stream options are read":                    {`{"prompt":"a","stream":true,"stream_options":{"include_usage":true,"x":1}}`, openai.ChatRequest{Ask: openai.Ask{Params: imagegen.Params{Prompt: "a"}, Stream: true}, IncludeUsage: true}},
		"every option is read":                       {`{"prompt":"a","n":2,"width":512,"height":640,"size":"auto","quality":"high","cfg":3.5,"steps":20,"seed":4294967295,"negative_prompt":""}`, openai.ChatRequest{Ask: openai.Ask{Params: allParams()}}},
		"numbers may come as strings":                {`{"prompt":"a","n":"2","width":"512","height":" 640 ","size":"auto","quality":"high","cfg":"3.5","steps":"20","seed":"4294967295","negative_prompt":""}`, openai.ChatRequest{Ask: openai.Ask{Params: allParams()}}},
		"whole floats are integers":                  {`{"prompt":"a","n":2.0,"width":5.12e2,"height":"640.0","size":"auto","quality":"high","cfg":3.5,"steps":20.0,"seed":4294967295.0,"negative_prompt":""}`, openai.ChatRequest{Ask: openai.Ask{Params: allParams()}}},
		"a byte order mark is skipped":               {"\ufeff{\"prompt\":\"a\"}", prompt("a")},
		"spaces and a final newline around the body": {" \n{\"prompt\":\"a\"}\r\n", prompt("a")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := openai.DecodeChat([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, c.want, ignoreField, ignoreExtra); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
			if want := map[bool]string{true: "messages"}[strings.Contains(c.body, `"role"`)]; got.Field != want {
				t.Errorf("the prompt came in %q, want %q", got.Field, want)
			}
		})
	}
}

var ignoreField = cmpopts.IgnoreFields(openai.Ask{}, "Field")

// The members that are nobody's have tests of their own.
var ignoreExtra = cmpopts.IgnoreFields(imagegen.Params{}, "Extra")

func allParams() imagegen.Params {
	return imagegen.Params{
		Prompt: "a", N: new(2), Width: new(512), Height: new(640), Size: "auto", Quality: "high",
		CFG: new(3.5), Steps: new(20), Seed: new(int64(4294967295)), NegativePrompt: new(""),
	}
}

func TestDecodeChatRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 200_000)
	cases := map[string]struct {
		body  string
		kind  imagegen.Kind
		param string
	}{
		"an empty body":                    {``, imagegen.KindInvalidJSON, ""},
		"a list":                           {`[]`, imagegen.KindInvalidJSON, ""},
		"null":                             {`null`, imagegen.KindInvalidJSON, ""},
		"half an object":                   {`{"prompt":"a"`, imagegen.KindInvalidJSON, ""},
		"garbage after the object":         {`{"prompt":"a"} x`, imagegen.KindInvalidJSON, ""},
		"two objects":                      {`{"prompt":"a"}{}`, imagegen.KindInvalidJSON, ""},
		"a form":                           {`prompt=a`, imagegen.KindInvalidJSON, ""},
		"nesting without end":              {`{"messages":` + deep, imagegen.KindInvalidJSON, ""},
		"closed deep nesting":              {`{"messages":` + deep + strings.Repeat("]", len(deep)) + `}`, imagegen.KindInvalidJSON, ""},
		"messages that are no list":        {`{"messages":{"role":"user"}}`, imagegen.KindInvalidValue, "messages"},
		"messages that are a string":       {`{"messages":"a"}`, imagegen.KindInvalidValue, "messages"},
		"a message that is no object":      {`{"messages":["a"]}`, imagegen.KindInvalidValue, "messages"},
		"a role that is no string":         {`{"messages":[{"role":1,"content":"a"}]}`, imagegen.KindInvalidValue, "messages"},
		"a content that is a number":       {`{"messages":[{"role":"user","content":1}]}`, imagegen.KindInvalidValue, "messages"},
		"a content that is an object":      {`{"messages":[{"role":"user","content":{"text":"a"}}]}`, imagegen.KindInvalidValue, "messages"},
		"a part that is a number":          {`{"messages":[{"role":"user","content":[1]}]}`, imagegen.KindInvalidValue, "messages"},
		"a text that is a number":          {`{"messages":[{"role":"user","content":[{"type":"text","text":1}]}]}`, imagegen.KindInvalidValue, "messages"},
		"a picture that is no URL":         {`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x.png"}}]}]}`, imagegen.KindInvalidValue, "messages"},
		"a picture by its file's id":       {`{"messages":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","file_id":"f"}]}]}`, imagegen.KindInvalidValue, "messages"},
		"a picture that is not base64":     {`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,%%"}}]}]}`, imagegen.KindInvalidValue, "messages"},
		"a picture on this machine":        {`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]}`, imagegen.KindInvalidValue, "messages"},
		"no prompt at all":                 {`{}`, imagegen.KindMissingParameter, "messages"},
		"no user message":                  {`{"messages":[{"role":"system","content":"a"}],"prompt":"b"}`, imagegen.KindMissingParameter, "messages"},
		"a user message without content":   {`{"messages":[{"role":"user","content":null}]}`, imagegen.KindMissingParameter, "messages"},
		"a user message without the field": {`{"messages":[{"role":"user"}]}`, imagegen.KindMissingParameter, "messages"},
		"a blank prompt":                   {`{"prompt":" \n"}`, imagegen.KindMissingParameter, "messages"},
		"a prompt that is a list":          {`{"prompt":["a"]}`, imagegen.KindInvalidValue, "prompt"},
		"a model that is a number":         {`{"prompt":"a","model":5}`, imagegen.KindInvalidValue, "model"},
		"a size that is a number":          {`{"prompt":"a","size":1024}`, imagegen.KindInvalidValue, "size"},
		"a width in words":                 {`{"prompt":"a","width":"wide"}`, imagegen.KindInvalidValue, "width"},
		"a width of a half":                {`{"prompt":"a","width":512.5}`, imagegen.KindInvalidValue, "width"},
		"a width that is true":             {`{"prompt":"a","width":true}`, imagegen.KindInvalidValue, "width"},
		"an empty width":                   {`{"prompt":"a","width":""}`, imagegen.KindInvalidValue, "width"},
		"a height beyond int64":            {`{"prompt":"a","height":9223372036854775808}`, imagegen.KindInvalidValue, "height"},
		"a seed of 30 digits":              {`{"prompt":"a","seed":100000000000000000000000000000}`, imagegen.KindInvalidValue, "seed"},
		"a seed beyond any float":          {`{"prompt":"a","seed":1e400}`, imagegen.KindInvalidValue, "seed"},
		"a seed that is a list":            {`{"prompt":"a","seed":[1]}`, imagegen.KindInvalidValue, "seed"},
		"a cfg beyond any float":           {`{"prompt":"a","cfg":1e400}`, imagegen.KindInvalidValue, "cfg"},
		"a cfg that is not a number":       {`{"prompt":"a","cfg":"NaN"}`, imagegen.KindInvalidValue, "cfg"},
		"a cfg without bound":              {`{"prompt":"a","cfg":"-Inf"}`, imagegen.KindInvalidValue, "cfg"},
		"steps in hexadecimal":             {`{"prompt":"a","steps":"0x10"}`, imagegen.KindInvalidValue, "steps"},
		"an n with an underscore":          {`{"prompt":"a","n":"1_0"}`, imagegen.KindInvalidValue, "n"},
		"a stream in words":                {`{"prompt":"a","stream":"true"}`, imagegen.KindInvalidValue, "stream"},
		"stream options that are a list":   {`{"prompt":"a","stream_options":[]}`, imagegen.KindInvalidValue, "stream_options"},
		"an include_usage that is 1":       {`{"prompt":"a","stream_options":{"include_usage":1}}`, imagegen.KindInvalidValue, "stream_options"},
		"a quality that is a number":       {`{"prompt":"a","quality":1}`, imagegen.KindInvalidValue, "quality"},
		"a negative prompt that is a list": {`{"prompt":"a","negative_prompt":["b"]}`, imagegen.KindInvalidValue, "negative_prompt"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := openai.DecodeChat([]byte(c.body))
			wantFailure(t, err, c.kind, c.param)
		})
	}
}

func TestDecodeImages(t *testing.T) {
	t.Parallel()
	for body, format := range map[string]openai.ResponseFormat{
		`{"prompt":"a","model":"m"}`:                                                  openai.FormatDefault,
		`{"prompt":"a","model":"m","response_format":null,"messages":3}`:              openai.FormatDefault,
		`{"prompt":"a","model":"m","response_format":"url","style":"vivid"}`:          openai.FormatURL,
		`{"prompt":"a","model":"m","response_format":"b64_json","background":"auto"}`: openai.FormatBase64,
		`{"prompt":"a","model":"m","response_format":""}`:                             openai.FormatDefault,
		`{"prompt":"a","model":"m","response_format":"both"}`:                         openai.FormatDefault,
		`{"prompt":"a","model":"m","response_format":["url"]}`:                        openai.FormatDefault,
		`{"prompt":"a","model":"m","response_format":{"type":"json_schema","x":{}}}`:  openai.FormatDefault,
		`{"prompt":"a","model":"m","partial_images":3,"moderation":"low","user":"u"}`: openai.FormatDefault,
	} {
		got, err := openai.DecodeImages([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
		}
		want := openai.ImagesRequest{Ask: openai.Ask{Model: "m", Params: imagegen.Params{Prompt: "a"}}, Format: format}
		if diff := cmp.Diff(got, want, ignoreExtra); diff != "" {
			t.Errorf("%s (-got +want):\n%s", body, diff)
		}
	}
}

func TestDecodeImagesRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		body  string
		kind  imagegen.Kind
		param string
	}{
		"a list":                        {`[1]`, imagegen.KindInvalidJSON, ""},
		"no prompt":                     {`{}`, imagegen.KindMissingParameter, "prompt"},
		"messages in place of a prompt": {`{"messages":[{"role":"user","content":"a"}]}`, imagegen.KindMissingParameter, "prompt"},
		"a blank prompt":                {`{"prompt":"  "}`, imagegen.KindMissingParameter, "prompt"},
		"a prompt that is a number":     {`{"prompt":1}`, imagegen.KindInvalidValue, "prompt"},
		"a width in words":              {`{"prompt":"a","width":"wide"}`, imagegen.KindInvalidValue, "width"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := openai.DecodeImages([]byte(c.body))
			wantFailure(t, err, c.kind, c.param)
		})
	}
}

func wantFailure(t *testing.T, err error, kind imagegen.Kind, param string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want %s of %q", kind, param)
	}
	e := imagegen.AsError(err)
	if e.Kind != kind || e.Param != param || e.Message == "" {
		t.Errorf("got %s of %q (%s), want %s of %q", e.Kind, e.Param, e.Message, kind, param)
	}
}

// FuzzDecodeChat looks for bodies that panic, or fail as anything but the client's mistake.
func FuzzDecodeChat(f *testing.F) {
	for _, body := range []string{
		`{"model":"Z-Image","messages":[{"role":"user","content":"一只可爱的小狗，1:2"}]}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},"c"]}]}`,
		`{"prompt":"a","n":"2","width":5.12e2,"height":"640.0","cfg":1e400,"seed":-1,"stream":true,"stream_options":{"include_usage":true}}`,
		`{"messages":[[[[{}]]]]}`, `{"prompt":"\ud800"}`, `null`, `{"a":1,"a":2}`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		chat, err := openai.DecodeChat(body)
		clientsMistake(t, err)
		if err == nil && chat.Text == nil && strings.TrimSpace(chat.Params.Prompt) == "" {
			t.Error("a request without a prompt")
		}
		images, err := openai.DecodeImages(body)
		clientsMistake(t, err)
		if err == nil && strings.TrimSpace(images.Params.Prompt) == "" {
			t.Error("a request without a prompt")
		}
		response, err := openai.DecodeResponses(body)
		clientsMistake(t, err)
		if err == nil && response.Text == nil && strings.TrimSpace(response.Params.Prompt) == "" {
			t.Error("a request without a prompt")
		}
	})
}

func clientsMistake(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if c := openai.ClassOf(imagegen.AsError(err).Kind); c.Status != 400 {
		t.Errorf("got %d: %v", c.Status, err)
	}
}
