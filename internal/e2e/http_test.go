package e2e_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// held is an upstream that draws nothing until release is called, which every test must do before it ends.
func held() (config simupstream.Config, release func()) {
	gate := make(chan struct{})
	return simupstream.Config{Behave: func(simupstream.Request) simupstream.Behaviour {
		<-gate
		return simupstream.Behaviour{}
	}}, sync.OnceFunc(func() { close(gate) })
}

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
	job := g.do(http.MethodPost, "/v1/v1/jobs/?api-version=1", map[string]any{"prompt": "a cat"}).header.Get("X-Job-Id")
	for _, path := range []string{
		"/models", "/v1/models/", "/v1/v1/models", "/models/Z-Image", "/v1/models/Z-Image/?api-version=1", "/jobs/" + job, "/v1/v1/jobs/" + job + "/",
	} {
		if r := g.do(http.MethodGet, path, nil); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{noWorker: true})
	longest := strings.Repeat("x", 128)
	for name, c := range map[string]struct {
		given string
		kept  bool
	}{
		"none":                {"", false},
		"the client's own":    {"my-request/1", true},
		"the longest":         {longest, true},
		"too long":            {longest + "x", false},
		"with a blank in it":  {"my request", false},
		"with other letters":  {"请求", false},
		"an error has it too": {"my-request/2", true},
	} {
		header := map[string]string{"Authorization": "Bearer " + clientKey}
		if c.given != "" {
			header["X-Request-Id"] = c.given
		}
		path := "/v1/models"
		if strings.HasPrefix(name, "an error") {
			path = "/v1/nothing"
		}
		got := g.send(http.MethodGet, path, "", header).header.Get("X-Request-Id")
		if got == "" || (got == c.given) != c.kept {
			t.Errorf("%s: x-request-id %q of %q", name, got, c.given)
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
		"only a ratio":        {http.MethodPost, "/v1/chat/completions", `{"prompt":"16:9"}`, 400, "invalid_value"},
		"only a width":        {http.MethodPost, "/v1/images/generations", `{"prompt":"a cat","width":100}`, 400, "missing_required_parameter"},
		"a width too large":   {http.MethodPost, "/v1/images/generations", `{"prompt":"a cat","width":4096,"height":64}`, 400, "invalid_value"},
		"a seed too large":    {http.MethodPost, "/v1/images/generations", `{"prompt":"a cat","seed":4294967296}`, 400, "invalid_value"},
		"a model not there":   {http.MethodPost, "/v1/images/generations", `{"prompt":"a cat","model":"gpt-9"}`, 404, "model_not_found"},
		"a body too large":    {http.MethodPost, "/v1/images/generations", `{"prompt":"` + strings.Repeat("x", 2000) + `"}`, 413, "request_too_large"},
		"a path not there":    {http.MethodGet, "/v1/nothing", "", 404, "unknown_url"},
		"the wrong method":    {http.MethodGet, "/v1/chat/completions", "", 405, "method_not_allowed"},
		"a job not there":     {http.MethodGet, "/v1/jobs/job_aaaaaaaaaaaaaaaaaaaaaaaaaa", "", 404, "job_not_found"},
		"no id that could be": {http.MethodGet, "/v1/jobs/..%2f..", "", 404, "job_not_found"},
	} {
		r := g.send(c.method, c.path, c.body, map[string]string{"Api-Key": clientKey})
		var e errorBody
		r.into(t, &e)
		if r.status != c.status || e.Error.Code != c.code || e.Error.Type != "invalid_request_error" || e.Error.Message == "" {
			t.Errorf("%s: %d %s, want %d %s", name, r.status, r.body, c.status, c.code)
		}
		if r.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no x-request-id", name)
		}
	}
}

func TestJobWithoutWaiting(t *testing.T) {
	t.Parallel()
	upstream, release := held()
	defer release()
	g := newGateway(t, setup{upstream: upstream})
	made := g.do(http.MethodPost, "/v1/jobs", map[string]any{"prompt": "a cat, 16:9", "n": 2})
	location := made.header.Get("Location")
	if made.status != http.StatusAccepted || !strings.HasPrefix(location, "/v1/jobs/job_") || made.header.Get("Retry-After") == "" {
		t.Fatalf("got %d %v %s", made.status, made.header, made.body)
	}
	type job struct {
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
	look := func(query string) (job, reply, time.Duration) {
		t.Helper()
		began := time.Now()
		r := g.do(http.MethodGet, location+query, nil)
		var j job
		r.into(t, &j)
		return j, r, time.Since(began)
	}
	for query, least := range map[string]time.Duration{"": 0, "?wait=400ms": 400 * time.Millisecond} {
		j, r, took := look(query)
		if j.Status != "queued" && j.Status != "in_progress" || r.header.Get("Retry-After") == "" || took < least || took > least+5*time.Second {
			t.Errorf("a look at %q after %v: %v %s", query, took, r.header, r.body)
		}
	}
	released := time.AfterFunc(200*time.Millisecond, release)
	defer released.Stop()
	j, r, took := look("?wait=30s")
	if j.Status != "completed" || j.Request.Prompt != "a cat" || j.Request.N != 2 || j.Request.Width != 2048 || len(j.Result.Data) != 2 {
		t.Errorf("job = %+v", j)
	}
	if took < 150*time.Millisecond || took > 10*time.Second || r.header.Get("Retry-After") != "" {
		t.Errorf("the end was told after %v, with %v", took, r.header)
	}
	for key, status := range map[string]int{clientKey: http.StatusOK, "sk-other": http.StatusNotFound} {
		if r := g.send(http.MethodGet, location, "", map[string]string{"Authorization": "Bearer " + key}); r.status != status {
			t.Errorf("a look with key %s: %d, want %d", key, r.status, status)
		}
	}
}

// A caller out of patience is told where its job is; the job goes on.
func TestSyncTimeout(t *testing.T) {
	t.Parallel()
	upstream, release := held()
	defer release()
	g := newGateway(t, setup{apiEnv: []string{"SYNC_TIMEOUT=200ms"}, upstream: upstream})
	r := g.do(http.MethodPost, "/v1/chat/completions", chat("a cat"))
	var e errorBody
	r.into(t, &e)
	location := r.header.Get("Location")
	if r.status != http.StatusGatewayTimeout || e.Error.Code != "generation_timeout" || e.Error.Type != "server_error" ||
		location != "/v1/jobs/"+r.header.Get("X-Job-Id") || r.header.Get("X-Should-Retry") != "true" {
		t.Fatalf("got %d %v %s", r.status, r.header, r.body)
	}
	g.waitForCall()
	release()
	var j jobBody
	g.do(http.MethodGet, location+"?wait=20s", nil).into(t, &j)
	if j.Status != "completed" || g.upstream.Calls() != 1 {
		t.Errorf("job = %+v after %d calls", j, g.upstream.Calls())
	}
}
