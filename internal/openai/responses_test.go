package openai_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func TestDecodeResponses(t *testing.T) {
	t.Parallel()
	ask := func(p imagegen.Params) openai.ResponsesRequest {
		return openai.ResponsesRequest{Ask: openai.Ask{Params: p}}
	}
	plain := ask(imagegen.Params{Prompt: "a"})
	tooled := ask(imagegen.Params{Prompt: "a", Size: "512x512", Quality: "low", OutputFormat: "webp", OutputCompression: new(50)})
	both := ask(imagegen.Params{Prompt: "a", Size: "256x256", Quality: "low"})
	all := plain
	all.Model, all.Stream, all.Background, all.Metadata = "m", true, true, map[string]string{"k": "v"}
	edit := plain
	edit.Source = &openai.Source{URL: "http://x/y.png"}
	follow := plain
	follow.Previous = &openai.Source{URL: "http://x/1.png"}
	for body, want := range map[string]openai.ResponsesRequest{
		`{"input":"a"}`: plain,
		`{"input":"a","background":"transparent","include":[],"max_output_tokens":5,"previous_response_id":"x","service_tier":"auto","temperature":1,"top_p":1,"truncation":"auto","user":"u","parallel_tool_calls":true,"max_tool_calls":1,"prompt_cache_key":"k","safety_identifier":"s","top_logprobs":0,"stream_options":{"include_obfuscation":false},"conversation":null}`: plain,
		`{"input":[{"role":"user","content":"a"}]}`: plain,
		`{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]}],"instructions":"draw"}`:                                                                                                               plain,
		`{"input":[{"type":"image_generation_call","id":"ig_1","result":"x"},{"role":"user","content":"a"},{"type":"item_reference","id":"x"}]}`:                                                                                        plain,
		`{"input":"a","tools":[{"type":"web_search"},{"type":"image_generation","size":"512x512","quality":"low","output_format":"webp","output_compression":50,"model":"gpt-image-1","background":"transparent","partial_images":2}]}`: tooled,
		`{"input":"a","size":"256x256","tools":[{"type":"image_generation","size":"512x512","quality":"low"}]}`:                                                                                                                         both,
		`{"input":"a","tools":[1,"x",{"type":1}],"tool_choice":{"type":"image_generation"},"reasoning":{"effort":"low"},"store":false,"text":{"format":{"type":"text"}}}`:                                                               plain,
		`{"input":"a","model":"m","stream":true,"background":true,"metadata":{"k":"v","n":1}}`:                                                                                                                                          all,
		`{"input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"http://x/y.png"}]}]}`:                                                                                                  edit,
		`{"input":[{"role":"assistant","content":[{"type":"output_text","text":"![x](http://x/1.png)"}]},{"role":"user","content":"a"}]}`:                                                                                               follow,
	} {
		got, err := openai.DecodeResponses([]byte(body))
		if diff := cmp.Diff(got, want, ignoreField, ignoreExtra); err != nil || diff != "" || got.Field != "input" {
			t.Errorf("%s: %v (-got +want):\n%s", body, err, diff)
		}
	}
	for body, param := range map[string]string{
		`{}`: "input", `{"input":""}`: "input", `{"input":[]}`: "input", `{"input":5}`: "input", `{"input":{}}`: "input", `{"input":["a"]}`: "input",
		`{"input":[{"role":"system","content":"a"}]}`: "input", `{"input":"a","stream":"x"}`: "stream", `{"input":"a","metadata":{"` + strings.Repeat("k", 65) + `":"v"}}`: "metadata",
	} {
		_, err := openai.DecodeResponses([]byte(body))
		if e := imagegen.AsError(err); err == nil || e.Param != param {
			t.Errorf("%s: got %v, want a complaint about %s", body, err, param)
		}
	}
}

// contents are the bytes of two pictures.
var contents = []*openai.Content{{Format: "png", Data: []byte("p0")}, {Format: "png", Data: []byte("p1")}}

func TestResponse(t *testing.T) {
	t.Parallel()
	background := queued(1)
	background.Background, background.Metadata = true, map[string]string{"k": "v"}
	goldenJSON(t, "response_queued.json", openai.NewResponse(background, nil))
	goldenJSON(t, "response.json", openai.NewResponse(drawn(drawn(queued(2), 0), 1), contents))
	goldenJSON(t, "response_without_bytes.json", openai.NewResponse(drawn(queued(1), 0), nil))
	goldenJSON(t, "response_failed.json", openai.NewResponse(refused(queued(1), 0), nil))
	id := openai.ResponseID(queued(1).ID)
	if got := openai.JobOfResponse(id); got != queued(1).ID {
		t.Errorf("%s is the response of job %s", id, got)
	}
	for _, id := range []string{"", "resp", "job_abc", "chatcmpl-abc"} {
		if got := openai.JobOfResponse(id); got != "" {
			t.Errorf("%q is taken for job %s", id, got)
		}
	}
}

func TestResponseStream(t *testing.T) {
	t.Parallel()
	two := drawn(drawn(queued(2), 0), 1)
	cases := map[string]struct {
		golden string
		after  int
		write  func(*openai.ResponseStream) error
	}{
		"two pictures": {"response_stream.txt", -1, func(s *openai.ResponseStream) error {
			return errors.Join(s.Start(queued(2)), s.Waiting(job.Outlook{Position: 2}), s.Beat(), s.Finish(two, contents))
		}},
		"a client that comes back": {"response_stream_rest.txt", 8, func(s *openai.ResponseStream) error {
			return errors.Join(s.Start(two), s.Finish(two, contents))
		}},
		"a wait that ends before its job": {"response_stream_error.txt", -1, func(s *openai.ResponseStream) error {
			e := &imagegen.Error{Kind: imagegen.KindShuttingDown, Message: "this server is stopping"}
			return errors.Join(s.Start(queued(1)), s.Fail(queued(1), e, "req_1"))
		}},
		"no picture's bytes": {"response_stream_without_bytes.txt", -1, func(s *openai.ResponseStream) error {
			return errors.Join(s.Start(queued(1)), s.Finish(drawn(queued(1), 0), nil))
		}},
		"a failure": {"response_stream_failure.txt", -1, func(s *openai.ResponseStream) error {
			e := &imagegen.Error{Kind: imagegen.KindUpstreamError, Message: "all attempts failed"}
			return errors.Join(s.Start(queued(1)), s.Fail(refused(queued(1), 0), e, "req_1"))
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := c.write(openai.NewResponseStream(&out, c.after)); err != nil {
				t.Fatal(err)
			}
			golden(t, c.golden, out.Bytes())
		})
	}
	if err := openai.NewResponseStream(brokenWriter{}, -1).Start(job.Job{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
}

func TestTextResponse(t *testing.T) {
	t.Parallel()
	r := openai.NewTextResponse("Z-Image", "A cat")
	if r.Status != "completed" || len(r.Output) != 1 || (*r.Output[0].Content)[0].Text != "A cat" || r.Model != "Z-Image" {
		t.Errorf("response = %+v", r)
	}
	var out bytes.Buffer
	if err := openai.NewResponseStream(&out, -1).Text(r); err != nil {
		t.Fatal(err)
	}
	s := out.String()
	if !strings.HasPrefix(s, "event: response.created\n") || !strings.Contains(s, `"delta":"A cat"`) || strings.Contains(s, "image_generation_call") ||
		!strings.Contains(s, "event: response.completed\n") {
		t.Errorf("stream:\n%s", s)
	}
}

func TestImageStream(t *testing.T) {
	t.Parallel()
	two := drawn(drawn(queued(2), 0), 1)
	for name, c := range map[string]struct {
		golden string
		edit   bool
		format openai.ResponseFormat
	}{
		"bytes": {"images_stream.txt", false, openai.FormatBase64},
		"URLs":  {"images_stream_url.txt", true, openai.FormatURL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			s := openai.NewImageStream(&out, c.edit, c.format)
			if err := errors.Join(s.Start(two), s.Waiting(job.Outlook{Position: 3}), s.Beat(), s.Finish(two, contents)); err != nil {
				t.Fatal(err)
			}
			golden(t, c.golden, out.Bytes())
		})
	}
}

func TestResponseFormatByName(t *testing.T) {
	t.Parallel()
	m := imagegen.Model{ID: "Z-Image"}
	for asked, want := range map[string]openai.ResponseFormat{
		"": openai.FormatURL, "Z-Image": openai.FormatURL, "dall-e-3": openai.FormatURL, "my-gpt-image-1": openai.FormatURL,
		"gpt-image-1": openai.FormatBase64, "GPT-Image-1-mini": openai.FormatBase64, "chatgpt-image-latest": openai.FormatBase64,
	} {
		if got := openai.FormatDefault.Resolve(m, asked); got != want {
			t.Errorf("asked for as %q: %s, want %s", asked, got, want)
		}
		if got := openai.FormatURL.Resolve(m, asked); got != openai.FormatURL {
			t.Errorf("asked for as %q and URLs: %s", asked, got)
		}
	}
	m.DefaultResponseFormat = "both"
	if got := openai.FormatDefault.Resolve(m, "gpt-image-1"); got != openai.FormatBoth {
		t.Errorf("a model set up for both gives %s", got)
	}
}
