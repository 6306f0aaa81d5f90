package httpapi_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// versions are the states of a job from the first to its end.
func versions() []job.Job {
	queued, running, done := dogJob(), dogJob(), finished(dogJob())
	queued.Version, running.Version, done.Version = 1, 2, 5
	running.Status, running.StartedAt = job.StatusInProgress, time.Unix(1730800001, 0)
	return []job.Job{queued, running, done}
}

// changing returns a job service whose one job changes every 16 seconds.
func changing(changes []job.Job) *fakeJobs {
	jobs := reading(changes[0])
	jobs.outlookFunc = func(_ context.Context, asked ...job.Job) ([]job.Outlook, error) {
		if asked[0].Status == job.StatusQueued {
			return []job.Outlook{{Position: 3, ETA: 12 * time.Second}}, nil
		}
		return []job.Outlook{{ETA: 5 * time.Second}}, nil
	}
	jobs.followFunc = func(ctx context.Context, seen int64, beat job.Beat, tell func(job.Job) error) error {
		beats := time.NewTicker(beat.Every)
		defer beats.Stop()
		next := time.NewTimer(0)
		defer next.Stop()
		for len(changes) > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-beats.C:
				if err := beat.Func(ctx); err != nil {
					return err
				}
			case <-next.C:
				if changes[0].Version != seen {
					if err := tell(changes[0]); err != nil {
						return err
					}
				}
				changes = changes[1:]
				next.Reset(16 * time.Second)
			}
		}
		return nil
	}
	return jobs
}

func TestFollowJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := send(t, newServer(t, changing(versions())), "GET", "/v1/jobs/job_abc/events", "")
		golden(t, "job_events.txt", w.Body.Bytes())
		if took := time.Since(start); took != 32*time.Second {
			t.Errorf("it ended after %s", took)
		}
		want := map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Job-Id": "job_abc",
			"Retry-After": "",
		}
		got := map[string]string{}
		for name := range want {
			got[name] = w.Header().Get(name)
		}
		if diff := cmp.Diff(got, want); diff != "" || w.Code != 200 {
			t.Errorf("status %d, -got +want:\n%s", w.Code, diff)
		}
		body := w.Body.String()
		if regexp.MustCompile(`(?m)^:.*\n\n`).MatchString(body) {
			t.Error("a comment is followed by an empty line")
		}
		event := regexp.MustCompile(`^((: waiting( eta=\d+)?|: queued position=\d+( eta=\d+)?)\n)*id: \d+\nevent: job\ndata: \{.*\}\n\n`)
		for range 3 {
			head := event.FindString(body)
			if head == "" {
				t.Fatalf("no event in %q", body)
			}
			body = strings.TrimPrefix(body, head)
		}
		if body != "" {
			t.Errorf("after the end comes %q", body)
		}
	})
}

func TestFollowJobFromWhereTheClientWas(t *testing.T) {
	t.Parallel()
	const terminal = 5
	cases := map[string]struct {
		lastID string
		end    bool  // the job has ended
		seen   int64 // what is passed on; -1: nothing is followed
		status int
	}{
		"the first time":                {"", false, 0, 200},
		"the first time, after its end": {"", true, 0, 200},
		"an earlier version":            {"2", false, 2, 200},
		"an earlier one than the end":   {"2", true, 2, 200},
		"the end":                       {"5", true, -1, 204},
		"a version to come":             {"7", false, 7, 200},
		"a word":                        {"soon", false, 0, 200},
		"a word, after its end":         {"soon", true, 0, 200},
		"parts of a number":             {"2.0", false, 0, 200},
		"a number that is too large":    {"99999999999999999999", true, 0, 200},
		"bytes":                         {"\xff\xfe", false, 0, 200},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := dogJob()
			if c.end {
				j = finished(j)
				j.Version = terminal
			}
			jobs := reading(j)
			seen := int64(-1)
			jobs.followFunc = func(_ context.Context, s int64, _ job.Beat, _ func(job.Job) error) error {
				seen = s
				return nil
			}
			w := send(t, newServer(t, jobs), "GET", "/v1/jobs/job_abc/events", "", "Last-Event-ID", c.lastID)
			if w.Code != c.status || seen != c.seen {
				t.Errorf("got %d, seen %d", w.Code, seen)
			}
			if c.status == 204 && (w.Body.Len() > 0 || w.Header().Get("Content-Type") != "" || w.Header().Get("X-Job-Id") != "job_abc") {
				t.Errorf("got %v %q", w.Header(), w.Body)
			}
		})
	}
}

func TestFollowNobodysJob(t *testing.T) {
	t.Parallel()
	s := newServer(t, reading(dogJob()))
	wantError(t, send(t, s, "GET", "/v1/jobs/job_xyz/events", ""), 404, "job_not_found", "")
	wantError(t, send(t, s, "GET", "/v1/jobs/job_abc/events", "", "Authorization", ""), 401, "invalid_api_key", "")
}

// A HEAD has nothing to wait for.
func TestFollowJobByHead(t *testing.T) {
	t.Parallel()
	w := send(t, newServer(t, reading(dogJob())), "HEAD", "/v1/jobs/job_abc/events", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream; charset=utf-8" || w.Body.Len() > 0 {
		t.Errorf("got %d %v %q", w.Code, w.Header(), w.Body)
	}
}

// What ends a stream too early is no event: the client comes again and says where it was.
func TestAStreamOfChangesThatBreaks(t *testing.T) {
	t.Parallel()
	jobs := reading(dogJob())
	jobs.followFunc = func(_ context.Context, _ int64, _ job.Beat, tell func(job.Job) error) error {
		if err := tell(versions()[0]); err != nil {
			return err
		}
		return &imagegen.Error{Kind: imagegen.KindJobNotFound, Message: "somebody deleted it"}
	}
	w := send(t, newServer(t, jobs), "GET", "/v1/jobs/job_abc/events", "")
	if got := w.Body.String(); w.Code != 200 || strings.Contains(got, "somebody") || !strings.HasSuffix(got, "}\n\n") {
		t.Errorf("got %d %q", w.Code, got)
	}
}

// Over a real connection the first event is there before anything happens.
func TestFollowJobBeginsAtOnce(t *testing.T) {
	t.Parallel()
	change := make(chan struct{})
	all := versions()
	jobs := reading(all[0])
	jobs.followFunc = func(ctx context.Context, _ int64, _ job.Beat, tell func(job.Job) error) error {
		if err := tell(all[0]); err != nil {
			return err
		}
		select {
		case <-change:
			return tell(all[2])
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	server := httptest.NewServer(newServer(t, jobs))
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/jobs/job_abc/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	reply, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reply.Body.Close() })
	lines := bufio.NewReader(reply.Body)
	for _, want := range []string{"id: 1\n", "event: job\n"} {
		if line, err := lines.ReadString('\n'); err != nil || line != want {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	close(change)
	if rest := readAll(t, lines); !strings.Contains(rest, "\n\nid: 5\nevent: job\ndata: ") || !strings.HasSuffix(rest, "}\n\n") {
		t.Errorf("got %q", rest)
	}
}
