package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

func TestChatAsTheSeedDoesIt(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs)
	w := send(t, s, "POST", "/v1/chat/completions", `{"model":"Z-Image","seed":123,"messages":[{"role":"user","content":"`+dog+`"}]}`)
	golden(t, "chat.json", w.Body.Bytes())
	if w.Code != 200 || w.Header().Get("X-Job-Id") != "job_abc" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	got := jobs.last(t)
	if got.Class != job.ClassInteractive {
		t.Errorf("got lane %q", got.Class)
	}
	if diff := cmp.Diff(got.Spec, dogJob().Spec); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs)
	w := send(t, s, "POST", "/v1/images/generations", `{"model":"dall-e-3","prompt":"`+dog+`","n":2,"seed":123,"response_format":"url"}`)
	golden(t, "images.json", w.Body.Bytes())
	if w.Code != 200 || w.Header().Get("X-Job-Id") != "job_abc" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	want := dogJob().Spec
	want.Seeds = []uint32{123, 124}
	if diff := cmp.Diff(jobs.last(t).Spec, want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestRandomSeeds(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs)
	seen := map[uint32]bool{}
	for range 5 {
		send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a","n":2,"seed":-1}`)
		for _, seed := range jobs.last(t).Spec.Seeds {
			seen[seed] = true
		}
	}
	if len(seen) < 9 { // of ten: two may meet once in a very long while
		t.Errorf("got seeds %v", seen)
	}
}

func TestRequestsThatMakeNoJob(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs)
	cases := map[string]struct {
		target, body string
		status       int
		code, param  string
	}{
		"no JSON":                {"/v1/chat/completions", `{`, 400, "invalid_json", ""},
		"no prompt":              {"/v1/chat/completions", `{}`, 400, "missing_required_parameter", "messages"},
		"no prompt for images":   {"/v1/images/generations", `{}`, 400, "missing_required_parameter", "prompt"},
		"no prompt for a job":    {"/v1/jobs", `{}`, 400, "missing_required_parameter", "prompt"},
		"no JSON for a job":      {"/v1/jobs", ``, 400, "invalid_json", ""},
		"nothing but a ratio":    {"/v1/chat/completions", `{"prompt":"16:9"}`, 400, "invalid_value", "prompt"},
		"an unknown model":       {"/v1/chat/completions", `{"prompt":"a","model":"sd"}`, 404, "model_not_found", "model"},
		"an unknown image model": {"/v1/images/generations", `{"prompt":"a","model":"sd"}`, 404, "model_not_found", "model"},
		"a width alone":          {"/v1/chat/completions", `{"prompt":"a","width":512}`, 400, "missing_required_parameter", "height"},
		"a width out of bounds":  {"/v1/chat/completions", `{"prompt":"a","width":512,"height":4096}`, 400, "invalid_value", "height"},
		"too many pictures":      {"/v1/jobs", `{"prompt":"a","n":11}`, 400, "invalid_value", "n"},
		"no picture to edit":     {"/v1/images/edits", `{"prompt":"a"}`, 400, "missing_required_parameter", "image"},
		"no input":               {"/v1/responses", `{}`, 400, "missing_required_parameter", "input"},
		"a streamed mistake":     {"/v1/chat/completions", `{"prompt":"a","stream":true,"size":"huge"}`, 400, "invalid_value", "size"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, send(t, s, "POST", c.target, c.body), c.status, c.code, c.param)
		})
	}
	t.Cleanup(func() {
		if len(jobs.made) > 0 {
			t.Errorf("got jobs %v", jobs.made)
		}
	})
}

// failures are the ways a service can fail, and the reply to each.
var failures = map[string]struct {
	err         error
	status      int
	code        string
	retryAfter  string // in seconds; retry-after-ms says the same
	shouldRetry string
}{
	"refused for good":     {&imagegen.Error{Kind: imagegen.KindUpstreamRejected, Message: "no"}, 400, "upstream_rejected", "", ""},
	"all attempts failed":  {&imagegen.Error{Kind: imagegen.KindUpstreamError, Message: "no", RetryAfter: time.Minute}, 502, "upstream_error", "", "false"},
	"timeouts":             {&imagegen.Error{Kind: imagegen.KindUpstreamTimeout, Message: "no"}, 502, "upstream_timeout", "", "false"},
	"our account":          {&imagegen.Error{Kind: imagegen.KindUpstreamAccount, Message: "no"}, 502, "upstream_unavailable", "", "false"},
	"an unknown outcome":   {&imagegen.Error{Kind: imagegen.KindUpstreamAmbiguous, Message: "no"}, 502, "upstream_outcome_unknown", "", "false"},
	"redis is gone":        {&imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: "no"}, 503, "queue_unavailable", "2", "true"},
	"a fraction of a time": {&imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: "no", RetryAfter: 1200 * time.Millisecond}, 503, "queue_unavailable", "2", "true"},
	"a very short time":    {&imagegen.Error{Kind: imagegen.KindShuttingDown, Message: "no", RetryAfter: time.Millisecond}, 503, "shutting_down", "1", "true"},
	"a very long time":     {&imagegen.Error{Kind: imagegen.KindShuttingDown, Message: "no", RetryAfter: time.Hour}, 503, "shutting_down", "60", "true"},
	"too slow":             {&imagegen.Error{Kind: imagegen.KindGenerationTimeout, Message: "no"}, 504, "generation_timeout", "", "true"},
	"a bug":                {errors.New("secret at 10.0.0.1"), 500, "internal_error", "", ""},
}

func TestFailuresOfTheService(t *testing.T) {
	t.Parallel()
	for name, c := range failures {
		for _, target := range []string{"/v1/chat/completions", "/v1/images/generations", "/v1/jobs"} {
			t.Run(name+" at "+target, func(t *testing.T) {
				t.Parallel()
				jobs := &fakeJobs{submitFunc: func(context.Context, job.New) (job.Submission, error) { return job.Submission{}, c.err }}
				// A stream is refused with a status too, as it has not begun.
				for _, body := range []string{`{"prompt":"a"}`, `{"prompt":"a","stream":true}`} {
					if strings.Contains(body, "stream") && target == "/v1/images/generations" {
						continue
					}
					w := send(t, newServer(t, jobs), "POST", target, body)
					message := wantError(t, w, c.status, c.code, "")
					if strings.Contains(message, "secret") {
						t.Errorf("got message %q", message)
					}
					wantRetryHeaders(t, w.Header(), c.retryAfter, c.shouldRetry)
				}
			})
		}
	}
}

func TestFailuresWhileWaiting(t *testing.T) {
	t.Parallel()
	for name, c := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{waitFunc: func(context.Context, string, job.ID) (job.Job, error) { return job.Job{}, c.err }}
			w := send(t, newServer(t, jobs), "POST", "/v1/chat/completions", `{"prompt":"a"}`)
			wantError(t, w, c.status, c.code, "")
			wantRetryHeaders(t, w.Header(), c.retryAfter, c.shouldRetry)
			if w.Header().Get("X-Job-Id") != "job_abc" {
				t.Error("the job is not named")
			}
		})
	}
}

func wantRetryHeaders(t *testing.T, h http.Header, after, should string) {
	t.Helper()
	wantMS := ""
	if after != "" {
		wantMS = after + "000"
	}
	if got := h.Get("Retry-After"); got != after {
		t.Errorf("got Retry-After %q, want %q", got, after)
	}
	if got := h.Get("Retry-After-Ms"); got != wantMS {
		t.Errorf("got retry-after-ms %q, want %q", got, wantMS)
	}
	if got := h.Get("X-Should-Retry"); got != should {
		t.Errorf("got x-should-retry %q, want %q", got, should)
	}
}

func TestAFailedJobIsAFailedCall(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{waitFunc: func(context.Context, string, job.ID) (job.Job, error) {
		return failed(dogJob(), imagegen.KindUpstreamRejected), nil
	}}
	s := newServer(t, jobs)
	for _, target := range []string{"/v1/chat/completions", "/v1/images/generations"} {
		message := wantError(t, send(t, s, "POST", target, `{"prompt":"a"}`), 400, "upstream_rejected", "")
		if message != "it did not work" {
			t.Errorf("got %q", message)
		}
	}
}

func TestSyncTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, &fakeJobs{waitFunc: never}, func(c *httpapi.Config) { c.SyncTimeout = 90 * time.Second })
		start := time.Now()
		w := send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a"}`)
		if got := time.Since(start); got != 90*time.Second {
			t.Errorf("got an answer after %s", got)
		}
		message := wantError(t, w, 504, "generation_timeout", "")
		if !strings.Contains(message, "/v1/jobs/job_abc") {
			t.Errorf("got %q", message)
		}
		if w.Header().Get("Location") != "/v1/jobs/job_abc" || w.Header().Get("X-Should-Retry") != "true" {
			t.Errorf("got %v", w.Header())
		}
	})
}

func TestDefaultSyncTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		wantError(t, send(t, newServer(t, &fakeJobs{waitFunc: never}), "POST", "/v1/jobs/../chat/completions", `{"prompt":"a"}`), 404, "unknown_url", "")
		wantError(t, send(t, newServer(t, &fakeJobs{waitFunc: never}), "POST", "/v1/images/generations", `{"prompt":"a"}`), 504, "generation_timeout", "")
		if got := time.Since(start); got != 5*time.Minute {
			t.Errorf("got an answer after %s", got)
		}
	})
}

// A client that goes away gets no reply, and its line in the log says so.
func TestAClientThatGoesAway(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"prompt":"a"}`, `{"prompt":"a","stream":true}`} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			m := &fakeMetrics{}
			s := newServer(t, &fakeJobs{waitFunc: never}, logInto(&b), func(c *httpapi.Config) { c.Metrics = m })
			ctx, cancel := context.WithCancel(t.Context())
			defer time.AfterFunc(30*time.Second, cancel).Stop()
			r := request(t, "POST", "/v1/chat/completions", body).WithContext(ctx)
			w := serve(s, r)
			if got := logged(t, &b); got["status"] != 499.0 || got["job_id"] != "job_abc" {
				t.Errorf("got %v", got)
			}
			if len(m.calls) != 1 || m.calls[0].status != 499 {
				t.Errorf("got %v", m.calls)
			}
			if strings.Contains(w.Body.String(), "error") {
				t.Errorf("got a reply: %s", w.Body)
			}
		})
	}
}

// A server that stops says so to those who wait: it cancels their contexts with a cause.
func TestAServerThatStops(t *testing.T) {
	t.Parallel()
	stop := &imagegen.Error{Kind: imagegen.KindShuttingDown, Message: "the gateway is restarting; please try again"}
	for body, check := range map[string]func(*testing.T, *httptest.ResponseRecorder){
		`{"prompt":"a"}`: func(t *testing.T, w *httptest.ResponseRecorder) {
			t.Helper()
			wantError(t, w, 503, "shutting_down", "")
		},
		`{"prompt":"a","stream":true}`: func(t *testing.T, w *httptest.ResponseRecorder) {
			t.Helper()
			if !strings.HasSuffix(w.Body.String(), `"code":"shutting_down"}}`+"\n\n") {
				t.Errorf("got %s", w.Body)
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer time.AfterFunc(3*time.Second, func() { cancel(stop) }).Stop()
			check(t, serve(newServer(t, &fakeJobs{waitFunc: never}), request(t, "POST", "/v1/chat/completions", body).WithContext(ctx)))
		})
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	jobs := &fakeJobs{submitFunc: func(context.Context, job.New) (job.Submission, error) { panic("a secret thing") }}
	s := newServer(t, jobs, logInto(&b))
	w := send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a"}`, "X-Request-Id", "r1", "Origin", "https://chat.example")
	message := wantError(t, w, 500, "internal_error", "")
	if strings.Contains(message, "secret") || !strings.Contains(message, "r1") {
		t.Errorf("got %q", message)
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("X-Request-Id") != "r1" {
		t.Errorf("got %v", w.Header())
	}
	if !strings.Contains(b.String(), "generate.go") {
		t.Errorf("no stack in the log: %s", b.String())
	}
	if got := logged(t, &b); got["status"] != 500.0 || got["level"] != "ERROR" || got["msg"] != "request" {
		t.Errorf("got %v", got)
	}
}

// A reply that has begun must not look whole, so its connection breaks.
func TestPanicsInMidStream(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{waitFunc: func(context.Context, string, job.ID) (job.Job, error) { panic("late") }}
	var b bytes.Buffer
	s := newServer(t, jobs, logInto(&b))
	defer func() {
		if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // a panic's value is no chain
			t.Errorf("got panic %v", got)
		}
		if got := logged(t, &b); got["status"] != 500.0 {
			t.Errorf("got %v", got)
		}
	}()
	send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a","stream":true}`)
}

func TestAbortedHandlersPassThrough(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{submitFunc: func(context.Context, job.New) (job.Submission, error) { panic(http.ErrAbortHandler) }}
	var b bytes.Buffer
	s := newServer(t, jobs, logInto(&b))
	defer func() {
		if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // a panic's value is no chain
			t.Errorf("got panic %v", got)
		}
		if got := logged(t, &b); got["msg"] != "request" {
			t.Errorf("got %v, want the request's line and no other", got)
		}
	}()
	send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a"}`)
}
