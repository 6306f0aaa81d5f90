package e2e_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

func TestPathForms(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	for _, path := range []string{
		"/v1/chat/completions", "/chat/completions", "/v1/v1/chat/completions", "/v1/chat/completions/",
		"//v1/chat/completions", "/v1/chat/completions?api-version=2024-02-01",
	} {
		r := g.do(http.MethodPost, path, chat("a cat"))
		if r.status != http.StatusOK || r.header.Get("X-Job-Id") == "" || r.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %v %s", path, r.status, r.header, r.body)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{noWorker: true, apiEnv: []string{"MAX_BODY_BYTES=1000"}})
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"no JSON":             {http.MethodPost, "/v1/chat/completions", `{"messages":`, 400, "invalid_json"},
		"no prompt":           {http.MethodPost, "/v1/chat/completions", `{"messages":[]}`, 400, "missing_required_parameter"},
		"only a width":        {http.MethodPost, "/v1/images/generations", `{"prompt":"a cat","width":100}`, 400, "missing_required_parameter"},
		"a width too large":   {http.MethodPost, "/v1/images/generations", `{"prompt":"a cat","width":4096,"height":64}`, 400, "invalid_value"},
		"a model not there":   {http.MethodPost, "/v1/images/generations", `{"prompt":"a cat","model":"gpt-9"}`, 404, "model_not_found"},
		"a body too large":    {http.MethodPost, "/v1/images/generations", `{"prompt":"` + strings.Repeat("x", 2000) + `"}`, 413, "request_too_large"},
		"a path not there":    {http.MethodGet, "/v1/nothing", "", 404, "unknown_url"},
		"the wrong method":    {http.MethodGet, "/v1/chat/completions", "", 405, "method_not_allowed"},
		"a job not there":     {http.MethodGet, "/v1/jobs/job_aaaaaaaaaaaaaaaaaaaaaaaaaa", "", 404, "job_not_found"},
		"no id that could be": {http.MethodGet, "/v1/jobs/..%2f..", "", 404, "job_not_found"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, g.url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Api-Key", clientKey)
		req.Header.Set("X-Request-Id", "my-request")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var e errorBody
		reply{status: resp.StatusCode, body: body}.into(t, &e)
		if resp.StatusCode != c.status || e.Error.Code != c.code || e.Error.Type != "invalid_request_error" || e.Error.Message == "" {
			t.Errorf("%s: %d %s, want %d %s", name, resp.StatusCode, body, c.status, c.code)
		}
		if got := resp.Header.Get("X-Request-Id"); got != "my-request" {
			t.Errorf("%s: x-request-id %q", name, got)
		}
	}
}

func TestJobWithoutWaiting(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{upstream: simupstream.Config{Latency: 500 * time.Millisecond}})
	made := g.do(http.MethodPost, "/v1/jobs", map[string]any{"prompt": "a cat, 16:9", "n": 2})
	location := made.header.Get("Location")
	if made.status != http.StatusAccepted || !strings.HasPrefix(location, "/v1/jobs/job_") || made.header.Get("Retry-After") == "" {
		t.Fatalf("got %d %v %s", made.status, made.header, made.body)
	}
	var j struct {
		Status  string `json:"status"`
		Request struct {
			Prompt string `json:"prompt"`
			N      int    `json:"n"`
			Width  int    `json:"width"`
		} `json:"request"`
		Result struct {
			Data []struct {
				URL string `json:"url"`
			} `json:"data"`
		} `json:"result"`
	}
	polled := g.do(http.MethodGet, location+"?wait=1ms", nil)
	polled.into(t, &j)
	if j.Status != "queued" && j.Status != "in_progress" || polled.header.Get("Retry-After") == "" {
		t.Errorf("a short poll: %v %s", polled.header, polled.body)
	}
	g.do(http.MethodGet, location+"?wait=20s", nil).into(t, &j)
	if j.Status != "completed" || j.Request.Prompt != "a cat" || j.Request.N != 2 || j.Request.Width != 2048 || len(j.Result.Data) != 2 {
		t.Errorf("job = %+v", j)
	}
	stranger, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+location, nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger.Header.Set("Authorization", "Bearer sk-other")
	resp, err := http.DefaultClient.Do(stranger)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the status matters
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("another key's look at the job: %d, want 404", resp.StatusCode)
	}
}

// A caller out of patience is told where its job is; the job goes on.
func TestSyncTimeout(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{apiEnv: []string{"SYNC_TIMEOUT=200ms"}, upstream: simupstream.Config{Latency: time.Second}})
	r := g.do(http.MethodPost, "/v1/chat/completions", chat("a cat"))
	var e errorBody
	r.into(t, &e)
	location := r.header.Get("Location")
	if r.status != http.StatusGatewayTimeout || e.Error.Code != "generation_timeout" || location == "" || r.header.Get("X-Should-Retry") != "true" {
		t.Fatalf("got %d %v %s", r.status, r.header, r.body)
	}
	var j jobBody
	g.do(http.MethodGet, location+"?wait=20s", nil).into(t, &j)
	if j.Status != "completed" {
		t.Errorf("job = %+v", j)
	}
}

// TestWaitingStream looks at the bytes: an empty line after a comment, or any field but data, breaks released clients.
func TestWaitingStream(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{apiEnv: []string{"STREAM_KEEPALIVE=50ms"}, upstream: simupstream.Config{Latency: 400 * time.Millisecond}})
	body := chat("a cat")
	body["stream"] = true
	r, err := g.call(context.Background(), http.MethodPost, "/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.header.Get("Content-Type"); r.status != http.StatusOK || got != "text/event-stream; charset=utf-8" || r.header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("%d %v", r.status, r.header)
	}
	lines := strings.Split(string(r.body), "\n")
	if !strings.HasPrefix(lines[0], "data: ") || !strings.Contains(lines[0], `"role":"assistant"`) {
		t.Errorf("the first line is %q, want the role", lines[0])
	}
	comments := 0
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, ":"):
			comments++
			if lines[i+1] == "" {
				t.Errorf("an empty line follows the comment %q", line)
			}
		case line != "" && !strings.HasPrefix(line, "data: "):
			t.Errorf("line %q is neither data nor comment", line)
		}
	}
	if comments < 2 {
		t.Errorf("%d comments in 400 ms, want one every 50 ms", comments)
	}
	if !strings.HasSuffix(string(r.body), "data: [DONE]\n\n") || strings.Count(string(r.body), "![a cat](http") != 1 {
		t.Errorf("stream:\n%s", r.body)
	}
}
