package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// What is noted of callers decides which jobs are dropped: those whose callers all left, none that was promised to go on.
func TestTheLine(t *testing.T) {
	t.Parallel()
	const chat, plain, stream = "/v1/chat/completions", `{"prompt":"a"}`, `{"prompt":"a","stream":true}`
	stop := &imagegen.Error{Kind: imagegen.KindShuttingDown, Message: "the gateway is restarting; please try again"}
	const soon, late = 5 * time.Second, time.Hour
	cases := map[string]struct {
		body    string
		headers []string
		takes   time.Duration
		end     error // of the request's context after 30 s
		want    []string
	}{
		"a picture":                              {plain, nil, soon, nil, nil},
		"a picture on a stream":                  {stream, nil, soon, nil, nil},
		"a picture in time":                      {plain, []string{"Prefer", "wait=10"}, soon, nil, nil},
		"a failure":                              {plain, nil, 0, nil, nil},
		"a client that is gone":                  {plain, nil, late, context.Canceled, []string{"leave token"}},
		"a client that is gone from a stream":    {stream, nil, late, context.Canceled, []string{"leave token"}},
		"a client that is gone while it prefers": {plain, []string{"Prefer", "wait=60"}, late, context.Canceled, []string{"leave token"}},
		"a client that prefers not to wait":      {plain, []string{"Prefer", "respond-async"}, late, nil, nil},
		"a wait that was preferred is over":      {plain, []string{"Prefer", "wait=10"}, late, nil, []string{"keep token"}},
		"SYNC_TIMEOUT":                           {plain, nil, late, nil, []string{"keep token"}},
		"SYNC_TIMEOUT on a stream":               {stream, nil, late, nil, []string{"keep token"}},
		"a server that stops":                    {plain, nil, late, stop, []string{"keep token"}},
		"a server that stops, on a stream":       {stream, nil, late, stop, []string{"keep token"}},
		"a server that stops, while it prefers":  {plain, []string{"Prefer", "wait=60"}, late, stop, []string{"keep token"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				jobs := reading(dogJob())
				jobs.waitFunc = after(c.takes, finished(dogJob()))
				if c.takes == 0 {
					jobs.waitFunc = after(0, failed(dogJob(), imagegen.KindUpstreamError))
				}
				s := newServer(t, jobs, func(c *httpapi.Config) { c.SyncTimeout = 90 * time.Second })
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if c.end != nil {
					defer time.AfterFunc(30*time.Second, func() { cancel(c.end) }).Stop()
				}
				serve(s, request(t, "POST", chat, c.body, c.headers...).WithContext(ctx))
				if diff := cmp.Diff(jobs.line, c.want); diff != "" {
					t.Errorf("-got +want:\n%s", diff)
				}
			})
		})
	}
}

// How long a caller stays on the line at most is as long as it waits.
func TestCallersStayAsLongAsTheyWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, body, prefer string
		want               time.Duration
	}{
		"a plain call":         {"/v1/chat/completions", `{"prompt":"a"}`, "", 90 * time.Second},
		"a stream":             {"/v1/chat/completions", `{"prompt":"a","stream":true}`, "", 90 * time.Second},
		"a preference":         {"/v1/chat/completions", `{"prompt":"a"}`, "wait=7", 7 * time.Second},
		"a background":         {"/v1/responses", `{"input":"a","background":true}`, "", 0},
		"a background, prefer": {"/v1/responses", `{"input":"a","background":true}`, "wait=7", 0},
		"a job":                {"/v1/jobs", `{"prompt":"a"}`, "", 0},
	} {
		jobs := &fakeJobs{}
		s := newServer(t, jobs, withPictures(t), func(c *httpapi.Config) { c.SyncTimeout = 90 * time.Second })
		send(t, s, "POST", c.path, c.body, "Prefer", c.prefer)
		want := job.ClassInteractive
		if c.want == 0 {
			want = job.ClassBatch
		}
		if n := jobs.last(t); n.WaitFor != c.want || n.Class != want {
			t.Errorf("%s: a caller for %s in class %q, want %s in %q", name, n.WaitFor, n.Class, c.want, want)
		}
	}
}

// A client that does not take what it is sent is gone.
func TestADeafClientLeavesTheLine(t *testing.T) {
	t.Parallel()
	for _, writes := range []int{0, 1, 2} {
		synctest.Test(t, func(t *testing.T) {
			jobs := waiting(time.Hour, finished(dogJob()))
			w := &deafAfter{ResponseRecorder: httptest.NewRecorder(), writes: writes}
			newServer(t, jobs).ServeHTTP(w, request(t, "POST", "/v1/chat/completions", `{"prompt":"a","stream":true}`))
			if diff := cmp.Diff(jobs.line, []string{"leave token"}); diff != "" {
				t.Errorf("%d writes: -got +want:\n%s", writes, diff)
			}
		})
	}
}

// Between two rounds of a wait nobody is on the line; whoever does not come again has left.
func TestTheLineOverRounds(t *testing.T) {
	t.Parallel()
	const chat, leaves, back = "/v1/chat/completions", "leave token", "join for 2m0s"
	for name, c := range map[string]struct {
		takes time.Duration
		want  []string
	}{
		"a picture in the second round": {60 * time.Second, []string{leaves, back}},
		"a picture in the third":        {100 * time.Second, []string{leaves, back, "leave again", back}},
		"none":                          {time.Hour, []string{leaves, back, "leave again", back, "keep again"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			jobs := &fakeJobs{waitFunc: after(c.takes, finished(dogJob()))}
			s := newServer(t, jobs, keepAliveAfter(45*time.Second), func(c *httpapi.Config) { c.SyncTimeout = 2 * time.Minute })
			w := send(t, s, "POST", chat, `{"prompt":"a"}`, "X-Stainless-Lang", "js")
			for w.Code == http.StatusSeeOther {
				w = send(t, s, "GET", chat+w.Header().Get("Location"), "", "X-Stainless-Lang", "js")
			}
			if diff := cmp.Diff(jobs.line, c.want); diff != "" {
				t.Errorf("%s: -got +want:\n%s", name, diff)
			}
		})
	}
}

// Calls that only look at a job keep nobody on the line.
func TestWhoOnlyLooksIsNotOnTheLine(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/v1/jobs/job_abc?wait=1s", "/v1/jobs/job_abc", "/v1/responses/resp_abc",
	} {
		synctest.Test(t, func(t *testing.T) {
			jobs := reading(dogJob())
			jobs.waitFunc = never
			ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, context.Canceled)
			defer cancel()
			serve(newServer(t, jobs), request(t, "GET", target, "").WithContext(ctx))
			if len(jobs.line) > 0 {
				t.Errorf("%s: the line is %v", target, jobs.line)
			}
		})
	}
}

// A client that comes back for the rest of a response's stream waits for its job.
func TestAResumedStreamIsOnTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := reading(dogJob())
		jobs.waitFunc = never
		ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, context.Canceled)
		defer cancel()
		serve(newServer(t, jobs), request(t, "GET", "/v1/responses/resp_abc?stream=true", "").WithContext(ctx))
		if diff := cmp.Diff(jobs.line, []string{"join for 5m0s", "leave again"}); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
	})
}

// A caller that comes round and is not heard asks again: its job may be dropped under it else.
func TestARoundAsksForItsPlaceAgain(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{joinErr: errors.New("redis is slow"), waitFunc: func(context.Context, string, job.ID) (job.Job, error) {
		return finished(dogJob()), nil
	}}
	s := newServer(t, jobs, keepAliveAfter(45*time.Second))
	w := send(t, s, "GET", "/v1/chat/completions?wait=job_abc&rounds=1", "", "X-Stainless-Lang", "js")
	if diff := cmp.Diff(jobs.line, []string{"join for 5m0s", "join for 5m0s", "join for 5m0s"}); diff != "" || w.Code != http.StatusOK {
		t.Errorf("status %d, -got +want:\n%s", w.Code, diff)
	}
}
