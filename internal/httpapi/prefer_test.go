package httpapi_test

import (
	"context"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// patientCalls are calls that a client would wait for, by what they answer when there is a picture.
var patientCalls = map[string]struct{ path, body, contains string }{
	"chat":        {"/v1/chat/completions", `{"prompt":"a"}`, `"chat.completion"`},
	"generations": {"/images/generations", `{"prompt":"a"}`, `"url":"` + drawnURL},
	"edits":       {"/v1/images/edits", `{"model":"Editor","prompt":"a","image":"https://x/y.png"}`, `"url":"` + drawnURL},
	"responses":   {"/v1/responses", `{"input":"a"}`, `"object":"response"`},
}

func TestRespondAsync(t *testing.T) {
	t.Parallel()
	for name, c := range patientCalls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{waitFunc: never, outlookFunc: foresee(job.Outlook{Position: 3, ETA: 9 * time.Second})}
			w := send(t, newServer(t, jobs, withEditor(nil)), "POST", c.path, c.body, "Prefer", "respond-async")
			got := map[string]string{}
			want := map[string]string{
				"Location": "/v1/jobs/job_abc", "X-Job-Id": "job_abc", "Preference-Applied": "respond-async", "Retry-After": "9",
				"Content-Type": "application/json",
			}
			for name := range want {
				got[name] = w.Header().Get(name)
			}
			if diff := cmp.Diff(got, want); diff != "" || w.Code != 202 {
				t.Errorf("status %d, -got +want:\n%s", w.Code, diff)
			}
			if !strings.HasPrefix(w.Body.String(), `{"id":"job_abc","object":"job","status":"queued",`) {
				t.Errorf("got %s", w.Body)
			}
			if n := jobs.last(t); n.Class != job.ClassBatch || n.WaitFor != 0 || len(jobs.line) > 0 {
				t.Errorf("class %q, a caller for %s, line %v", n.Class, n.WaitFor, jobs.line)
			}
		})
	}
}

// A request that joins a finished job is told so at once, as a job.
func TestRespondAsyncToAFinishedJob(t *testing.T) {
	t.Parallel()
	w := send(t, newServer(t, joining(finished(dogJob()))), "POST", "/v1/chat/completions", `{"prompt":"a"}`, "Prefer", "respond-async")
	if w.Code != 202 || !strings.Contains(w.Body.String(), `"status":"completed"`) || w.Header().Get("Retry-After") != "" {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestPreferWait(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		prefer, applied string
		takes, want     time.Duration
		inTime          bool
	}{
		"a picture in time":          {"wait=10", "wait=10", 4 * time.Second, 4 * time.Second, true},
		"a picture that is late":     {"wait=10", "wait=10", time.Hour, 10 * time.Second, false},
		"a wait that is cut":         {"wait=600", "wait=60", time.Hour, time.Minute, false},
		"a wait that is cut in time": {"wait=600", "wait=60", 59 * time.Second, 59 * time.Second, true},
		"beside respond-async":       {"respond-async, wait=5", "wait=5", 4 * time.Second, 4 * time.Second, true},
	}
	for call, p := range patientCalls {
		for name, c := range cases {
			synctest.Test(t, func(t *testing.T) {
				running := dogJob()
				running.Status = job.StatusInProgress
				jobs := reading(running)
				jobs.waitFunc = after(c.takes, finished(dogJob()))
				s := newServer(t, jobs, withEditor(nil), withPictures(t), keepAliveAfter(time.Second))
				start := time.Now()
				w := send(t, s, "POST", p.path, p.body, "Prefer", c.prefer, "X-Stainless-Lang", "js")
				if got := time.Since(start); got != c.want {
					t.Errorf("%s, %s: got an answer after %s, want %s", call, name, got, c.want)
				}
				if got := w.Header().Get("Preference-Applied"); got != c.applied {
					t.Errorf("%s, %s: got Preference-Applied %q, want %q", call, name, got, c.applied)
				}
				if c.inTime {
					if w.Code != 200 || !strings.Contains(w.Body.String(), p.contains) || w.Header().Get("Location") != "" || len(jobs.line) > 0 {
						t.Errorf("%s, %s: got %d %v %s, line %v", call, name, w.Code, w.Header(), w.Body, jobs.line)
					}
				} else if w.Code != 202 || !strings.Contains(w.Body.String(), `"status":"in_progress"`) || w.Header().Get("Location") != "/v1/jobs/job_abc" {
					t.Errorf("%s, %s: got %d %v %s", call, name, w.Code, w.Header(), w.Body)
				} else if diff := cmp.Diff(jobs.line, []string{"keep token"}); diff != "" {
					t.Errorf("%s, %s: the line (-got +want):\n%s", call, name, diff)
				}
				if n := jobs.last(t); n.Class != job.ClassInteractive || "wait="+strconv.Itoa(int(n.WaitFor.Seconds())) != c.applied {
					t.Errorf("%s, %s: class %q, a caller for %s", call, name, n.Class, n.WaitFor)
				}
			})
		}
	}
}

func TestAFailureInTimeIsTheReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := &fakeJobs{waitFunc: after(3*time.Second, failed(dogJob(), imagegen.KindUpstreamRejected))}
		w := send(t, newServer(t, jobs), "POST", "/v1/chat/completions", `{"prompt":"a"}`, "Prefer", "wait=10")
		wantError(t, w, 400, "upstream_rejected", "")
		if got := w.Header().Get("Preference-Applied"); got != "wait=10" {
			t.Errorf("got Preference-Applied %q", got)
		}
	})
}

// Once there is a job, a wait that fails for other reasons is answered with it: a failure would have the client order twice.
func TestAJobIsToldOfWhateverHappensToTheWait(t *testing.T) {
	t.Parallel()
	away := &imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: "no"}
	stop := &imagegen.Error{Kind: imagegen.KindShuttingDown, Message: "the gateway is restarting; please try again"}
	for name, end := range map[string]error{"Redis is away when the wait is over": nil, "the server stops": stop} {
		for _, path := range []string{"/v1/jobs", "/v1/chat/completions"} {
			synctest.Test(t, func(t *testing.T) {
				jobs := &fakeJobs{waitFunc: never, getFunc: func(context.Context, string, job.ID) (job.Job, error) { return job.Job{}, away }}
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if end != nil {
					defer time.AfterFunc(3*time.Second, func() { cancel(end) }).Stop()
				}
				w := serve(newServer(t, jobs), request(t, "POST", path, `{"prompt":"a"}`, "Prefer", "wait=10").WithContext(ctx))
				if w.Code != 202 || w.Header().Get("Location") != "/v1/jobs/job_abc" || !strings.Contains(w.Body.String(), `"status":"queued"`) {
					t.Errorf("%s, %s: got %d %v %s", name, path, w.Code, w.Header(), w.Body)
				}
			})
		}
	}
}

func TestAClientThatIsGoneWhileItsJobIsMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(3*time.Second, cancel).Stop()
		jobs := &fakeJobs{waitFunc: never}
		w := serve(newServer(t, jobs), request(t, "POST", "/v1/jobs", `{"prompt":"a"}`, "Prefer", "wait=10").WithContext(ctx))
		if w.Body.Len() > 0 || len(jobs.line) > 0 {
			t.Errorf("got %d %s, line %v", w.Code, w.Body, jobs.line)
		}
	})
}

func TestPreferSpellings(t *testing.T) {
	t.Parallel()
	const ignored = ""
	cases := map[string]struct {
		headers []string
		applied string // ignored: the call waits as without
	}{
		"in capitals":                     {[]string{"Respond-Async"}, "respond-async"},
		"with a parameter":                {[]string{"respond-async; foo=bar"}, "respond-async"},
		"an empty value":                  {[]string{`respond-async=""`}, "respond-async"},
		"spaces all around":               {[]string{"  WAIT  =  7  ;x"}, "wait=7"},
		"a quoted number":                 {[]string{`wait="7"`}, "wait=7"},
		"no wait at all":                  {[]string{"wait=0"}, "wait=0"},
		"leading zeros":                   {[]string{"wait=007"}, "wait=7"},
		"longer than numbers go":          {[]string{"wait=99999999999999999999999"}, "wait=60"},
		"the first wait of two":           {[]string{"wait=7, wait=9"}, "wait=7"},
		"the first wait of two headers":   {[]string{"wait=7", "wait=9"}, "wait=7"},
		"one among others":                {[]string{`return=minimal, handling=lenient;x="a,b", wait=7`}, "wait=7"},
		"two headers":                     {[]string{"return=representation", "respond-async"}, "respond-async"},
		"empty elements":                  {[]string{",, ,respond-async,"}, "respond-async"},
		"both, the other way round":       {[]string{"wait=7,respond-async"}, "wait=7"},
		"a wait that is no number":        {[]string{"wait=soon"}, ignored},
		"a wait that is not so beside":    {[]string{"respond-async, wait=soon"}, "respond-async"},
		"a wait without a value":          {[]string{"wait"}, ignored},
		"a negative wait":                 {[]string{"wait=-1"}, ignored},
		"parts of a second":               {[]string{"wait=1.5"}, ignored},
		"another preference":              {[]string{"return=minimal"}, ignored},
		"one like it":                     {[]string{"respond-asynchronously, waits=3"}, ignored},
		"one in a quoted string":          {[]string{`note="a, respond-async, wait=5"`}, ignored},
		"one in a quoted string's quotes": {[]string{`note="a\", wait=5", x`}, ignored},
		"nothing":                         {[]string{""}, ignored},
		"garbage":                         {[]string{"\x01\";=,=;\"", `"""`, ";;;", "=", "\xff"}, ignored},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				jobs := reading(dogJob())
				jobs.waitFunc = after(2*time.Minute, finished(dogJob()))
				r := request(t, "POST", "/v1/chat/completions", `{"prompt":"a"}`)
				r.Header["Prefer"] = c.headers
				w := httptest.NewRecorder()
				newServer(t, jobs).ServeHTTP(w, r)
				if got := w.Header().Get("Preference-Applied"); got != c.applied {
					t.Errorf("got %q, want %q", got, c.applied)
				}
				if want := map[bool]int{true: 200, false: 202}[c.applied == ignored]; w.Code != want {
					t.Errorf("got %d, want %d", w.Code, want)
				}
			})
		})
	}
}

func TestStreamsHaveNoPreference(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{
		"/v1/chat/completions": `{"prompt":"a","stream":true}`, "/v1/images/generations": `{"prompt":"a","stream":true,"response_format":"url"}`,
		"/v1/responses": `{"input":"a","stream":true}`,
	} {
		for _, prefer := range []string{"respond-async", "wait=1"} {
			jobs := &fakeJobs{}
			w := send(t, newServer(t, jobs), "POST", path, body, "Prefer", prefer)
			if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") || w.Header().Get("Preference-Applied") != "" {
				t.Errorf("%s, %s: got %d %v", path, prefer, w.Code, w.Header())
			}
			if n := jobs.last(t); n.Class != job.ClassInteractive || n.WaitFor != 5*time.Minute {
				t.Errorf("%s, %s: class %q, a caller for %s", path, prefer, n.Class, n.WaitFor)
			}
		}
	}
}
