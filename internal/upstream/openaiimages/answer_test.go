package openaiimages_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/openaiimages"
)

// ask returns what becomes of a reply.
func ask(t *testing.T, status int, body string) (imagegen.Drawing, *imagegen.CallError) {
	t.Helper()
	client := newClient(t, openaiimages.Config{URL: "http://x.test/v1", APIKey: key, Transport: transport(func(*http.Request) (*http.Response, error) {
		return answer(status, body), nil
	})})
	d, err := client.Generate(t.Context(), dog)
	if err == nil {
		return d, nil
	}
	e, ok := errors.AsType[*imagegen.CallError](err)
	if !ok {
		t.Fatalf("got error %v, want a *imagegen.CallError", err)
	}
	return d, e
}

func TestPictures(t *testing.T) {
	t.Parallel()
	data, err := base64.StdEncoding.DecodeString(png)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body string
		want imagegen.Drawing
	}{
		"dall-e-3": {
			`{"created":1,"data":[{"revised_prompt":"A small dog.","url":"https://x.test/a.png?sig=%2B"}]}`,
			imagegen.Drawing{URL: "https://x.test/a.png?sig=%2B", RevisedPrompt: "A small dog.", Width: 1024, Height: 2048},
		},
		"gpt-image": {
			`{"created":1,"background":"opaque","data":[{"b64_json":"` + png + `"}],"output_format":"png","quality":"high","size":"1024x1536","usage":{"total_tokens":100}}`,
			imagegen.Drawing{Data: data, Width: 1024, Height: 1536},
		},
		"vLLM-Omni": {
			`{"created":1,"data":[{"b64_json":"` + png + `","url":null,"revised_prompt":null}],"output_format":"png","size":"auto","metrics":null}`,
			imagegen.Drawing{Data: data, Width: 1024, Height: 2048},
		},
		"both":               {`{"data":[{"b64_json":"` + png + `","url":"https://x.test/a.png"}]}`, imagegen.Drawing{Data: data, Width: 1024, Height: 2048}},
		"a data URL":         {`{"data":[{"url":"data:image/png;base64,` + png + `"}]}`, imagegen.Drawing{Data: data, Width: 1024, Height: 2048}},
		"fields of no sense": {`{"created":"now","size":7,"error":null,"data":[{"url":"https://x.test/a.png","revised_prompt":[1]}]}`, imagegen.Drawing{URL: "https://x.test/a.png", Width: 1024, Height: 2048}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, e := ask(t, http.StatusOK, c.body)
			if e != nil {
				t.Fatal(e)
			}
			c.want.Seed = dog.Seed
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("drawing (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	type verdict struct {
		Outcome   imagegen.Outcome
		Billed    imagegen.Billed
		Transient bool
		Kind      imagegen.Kind
		Doubtful  bool
		Message   string
	}
	const unavailable = "the image service is not available to this gateway at the moment"
	quota := verdict{imagegen.OutcomeQuota, imagegen.BilledNo, false, imagegen.KindUpstreamAccount, false, unavailable}
	said := verdict{imagegen.OutcomeQuota, imagegen.BilledNo, false, imagegen.KindUpstreamAccount, true, unavailable} // in words alone
	auth := verdict{imagegen.OutcomeAuth, imagegen.BilledNo, false, imagegen.KindUpstreamAccount, false, unavailable}
	missing := verdict{imagegen.OutcomeRefused, imagegen.BilledNo, false, imagegen.KindUpstreamUnavailable, false, unavailable}
	busy := verdict{imagegen.OutcomeRateLimited, imagegen.BilledNo, true, imagegen.KindUpstreamError, false, "the image service is busy"}
	broken := verdict{imagegen.OutcomeStatus, imagegen.BilledUnknown, true, imagegen.KindUpstreamError, false, "the image service failed (HTTP 500)"}
	garbled := verdict{imagegen.OutcomeMalformed, imagegen.BilledUnknown, true, imagegen.KindUpstreamError, false, "the image service gave an answer that cannot be used"}
	refused := func(message string) verdict {
		return verdict{imagegen.OutcomeRefused, imagegen.BilledNo, false, imagegen.KindUpstreamRejected, false, message}
	}
	content := func(message string) verdict {
		return verdict{imagegen.OutcomeRefused, imagegen.BilledNo, false, imagegen.KindContentPolicy, false, message}
	}
	for name, c := range map[string]struct {
		status int
		body   string
		want   verdict
	}{
		"content, by dall-e":        {400, `{"error":{"code":"content_policy_violation","message":"Your prompt may contain text that is not allowed.","param":null,"type":"invalid_request_error"}}`, content("Your prompt may contain text that is not allowed.")},
		"content, by gpt-image":     {400, `{"error":{"message":"Your request was rejected by the safety system. safety_violations=[violence].","type":"image_generation_user_error","param":"","code":"moderation_blocked"}}`, content("Your request was rejected by the safety system. safety_violations=[violence].")},
		"content, with 200":         {200, `{"error":{"code":"moderation_blocked","message":"no"}}`, content("no")},
		"a parameter":               {400, `{"error":{"message":"Unknown parameter: 'response_format'.","type":"invalid_request_error","param":"response_format","code":"unknown_parameter"}}`, refused("Unknown parameter: 'response_format'.")},
		"quota":                     {429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, quota},
		"billing limit":             {400, `{"error":{"message":"Billing hard limit has been reached","type":"invalid_request_error","param":null,"code":"billing_hard_limit_reached"}}`, quota},
		"quota of a relay":          {403, `{"error":{"message":"用户额度不足","type":"new_api_error","code":"insufficient_user_quota"}}`, quota},
		"quota, in words":           {400, `{"error":{"message":"Insufficient balance","type":"invalid_request_error","param":null,"code":null}}`, said},
		"rate limit":                {429, `{"error":{"message":"Rate limit reached for images per minute","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, busy},
		"key":                       {401, `{"error":{"message":"Incorrect API key provided: sk-proj-****","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, auth},
		"organization":              {403, `{"error":{"message":"Your organization must be verified","type":"invalid_request_error","param":null,"code":null}}`, auth},
		"a model, by OpenAI":        {404, `{"error":{"message":"The model does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, missing},
		"a model, at 503 of relays": {503, `{"error":{"message":"no channel for it","type":"new_api_error","code":"model_not_found"}}`, missing},
		"a model, as a value":       {400, `{"error":{"message":"Invalid value: 'foo'","type":"invalid_request_error","param":"model","code":"invalid_value"}}`, missing},
		"a model, by vLLM":          {404, `{"object":"error","message":"The model does not exist.","type":"NotFoundError","param":null,"code":404}`, missing},
		"a model, by vLLM of now":   {404, `{"error":{"message":"The model does not exist.","type":"NotFoundError","param":"model","code":404}}`, missing},
		"no such URL, by OpenAI":    {404, `{"error":{"message":"Invalid URL (POST /v1/images)","type":"invalid_request_error","param":null,"code":null}}`, missing},
		"a file, with 404":          {404, `{"error":{"message":"No such file","type":"invalid_request_error","param":"image","code":null}}`, refused("No such file")},
		"no such endpoint":          {405, `{"detail":"Method Not Allowed"}`, missing},
		"FastAPI, one mistake":      {422, `{"detail":[{"type":"value_error","loc":["body","size"],"msg":"Value error, size must be WIDTHxHEIGHT","input":"1"}]}`, refused("size: Value error, size must be WIDTHxHEIGHT")},
		"FastAPI, a text":           {400, `{"detail":"Too large a size"}`, refused("Too large a size")},
		"FastAPI, an object":        {400, `{"detail":{"message":"no"}}`, refused("no")},
		"an error that is a text":   {400, `{"error":"no such size"}`, refused("no such size")},
		"a message alone":           {400, `{"code":20012,"message":"bad size","data":null}`, refused("bad size")},
		"busy with 200":             {200, `{"error":{"message":"服务器繁忙"}}`, busy},
		"LocalAI":                   {500, `{"error":{"code":500,"message":"rpc error: out of memory","type":""}}`, broken},
		"no reason":                 {400, `{}`, refused("the image service refused the request")},
		"no data":                   {200, `{"created":1}`, garbled},
		"an empty list":             {200, `{"created":1,"data":[]}`, garbled},
		"a list of texts":           {200, `{"data":["https://x.test/a.png"]}`, garbled},
		"a picture of nothing":      {200, `{"data":[{"b64_json":""}]}`, garbled},
		"a picture that is none":    {200, `{"data":[{"b64_json":"aGVsbG8gd29ybGQ="}]}`, garbled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, e := ask(t, c.status, c.body)
			if e == nil {
				t.Fatal("got a picture, want a failure")
			}
			got := verdict{e.Outcome, e.Billed, e.Transient, e.Kind, e.Doubtful, e.Message}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", e, diff)
			}
		})
	}
}

func FuzzReply(f *testing.F) {
	for _, body := range []string{
		`{"data":[{"url":"https://x.test/a.png"}]}`, `{"data":[{"b64_json":"` + png + `"}]}`, `{"error":{"message":"no","code":"moderation_blocked"}}`,
		`{"detail":[{"loc":["a"],"msg":"b"}]}`, `{"error":"` + key + ` http://10.0.0.1"}`, `<html>`, ``, `null`, `{"data":{}}`, `{"code":1,"message":2}`,
	} {
		f.Add(200, body)
		f.Add(400, body)
		f.Add(500, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		d, e := ask(t, status, body)
		switch {
		case e == nil && (status != http.StatusOK || (d.URL == "") == (len(d.Data) == 0)):
			t.Errorf("took %+v at %d", d, status)
		case e != nil && (e.Message == "" || !utf8.ValidString(e.Message) || e.Outcome == "" || e.Billed == "" || e.Kind == "" || e.Transient && e.Elsewhere()):
			t.Errorf("got %+v, which does not fit together", e)
		}
	})
}
