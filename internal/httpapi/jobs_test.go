package httpapi_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// reading returns a job service that holds one job of any owner.
func reading(j job.Job) *fakeJobs {
	return &fakeJobs{
		getFunc: func(_ context.Context, _ string, id job.ID) (job.Job, error) {
			if id != j.ID {
				return job.Job{}, &imagegen.Error{Kind: imagegen.KindJobNotFound, Message: "no such job"}
			}
			return j, nil
		},
		outlookFunc: foresee(job.Outlook{Position: 3}),
	}
}

func TestCreateJob(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{outlookFunc: foresee(job.Outlook{Position: 3})}
	w := send(t, newServer(t, jobs), "POST", "/v1/jobs", `{"prompt":"`+dog+`","seed":123,"stream":true}`)
	golden(t, "job_created.json", w.Body.Bytes())
	if w.Code != 202 || w.Header().Get("Location") != "/v1/jobs/job_abc" || w.Header().Get("X-Job-Id") != "job_abc" || w.Header().Get("Retry-After") != "4" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	if got := jobs.last(t); got.Class != job.ClassBatch || got.Spec.Prompt != "一只可爱的小狗" {
		t.Errorf("got %+v", got)
	}
}

func TestGetJob(t *testing.T) {
	t.Parallel()
	running := dogJob()
	running.Status = job.StatusInProgress
	cases := map[string]struct {
		job        job.Job
		golden     string
		retryAfter string
	}{
		"queued":    {dogJob(), "job_queued.json", "4"},
		"running":   {running, "job_in_progress.json", "4"},
		"completed": {finished(dogJob()), "job_completed.json", ""},
		"failed":    {failed(dogJob(), imagegen.KindUpstreamTimeout), "job_failed.json", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := send(t, newServer(t, reading(c.job)), "GET", "/v1/jobs/job_abc", "")
			golden(t, c.golden, w.Body.Bytes())
			if w.Code != 200 || w.Header().Get("X-Job-Id") != "job_abc" || w.Header().Get("Retry-After") != c.retryAfter {
				t.Errorf("got %d %v", w.Code, w.Header())
			}
		})
	}
}

func TestRetryAfterOfAJobStaysWithinAMinute(t *testing.T) {
	t.Parallel()
	for position, want := range map[int]string{0: "1", 1: "2", 59: "60", 1000: "60"} {
		jobs := reading(dogJob())
		jobs.outlookFunc = foresee(job.Outlook{Position: position})
		w := send(t, newServer(t, jobs), "GET", "/v1/jobs/job_abc", "")
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("position %d: got %q, want %q", position, got, want)
		}
	}
}

func TestAJobOfNobody(t *testing.T) {
	t.Parallel()
	s := newServer(t, reading(dogJob()))
	wantError(t, send(t, s, "GET", "/v1/jobs/job_xyz", ""), 404, "job_not_found", "")
	wantError(t, send(t, s, "GET", "/v1/jobs/job%2Fabc?wait=1s", ""), 404, "job_not_found", "")
}

// Another key's job does not exist for this one, whatever is asked of it.
func TestAJobOfAnotherKey(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs)
	send(t, s, "POST", "/v1/jobs", `{"prompt":"a"}`)
	owner := jobs.last(t).Owner
	jobs.getFunc = func(_ context.Context, o string, _ job.ID) (job.Job, error) {
		if o != owner {
			return job.Job{}, &imagegen.Error{Kind: imagegen.KindJobNotFound, Message: "no such job"}
		}
		return finished(dogJob()), nil
	}
	jobs.followFunc = func(context.Context, int64, job.Beat, func(job.Job) error) error { return nil }
	for _, target := range []string{
		"GET /v1/jobs/job_abc", "GET /v1/jobs/job_abc/events", "POST /v1/jobs/job_abc/cancel", "DELETE /v1/jobs/job_abc",
	} {
		method, path, _ := strings.Cut(target, " ")
		wantError(t, send(t, s, method, path, "", "Authorization", "Bearer "+otherKey), 404, "job_not_found", "")
		if w := send(t, s, method, path, ""); w.Code >= 300 {
			t.Errorf("%s: its owner got %d", target, w.Code)
		}
	}
}

func TestAJobIsReadForItsOwner(t *testing.T) {
	t.Parallel()
	jobs := reading(dogJob())
	s := newServer(t, jobs)
	send(t, s, "POST", "/v1/jobs", `{"prompt":"a"}`)
	get := jobs.getFunc
	var owner string
	jobs.getFunc = func(ctx context.Context, o string, id job.ID) (job.Job, error) {
		owner = o
		return get(ctx, o, id)
	}
	send(t, s, "GET", "/v1/jobs/job_abc", "")
	if want := jobs.last(t).Owner; owner != want {
		t.Errorf("got owner %q, want %q", owner, want)
	}
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		wait   string
		takes  time.Duration
		want   time.Duration
		status string
	}{
		"no wait":                       {"", time.Minute, 0, "queued"},
		"an empty wait":                 {"?wait=", time.Minute, 0, "queued"},
		"a wait of nothing":             {"?wait=0", time.Minute, 0, "queued"},
		"a job that finishes meanwhile": {"?wait=30s", 10 * time.Second, 10 * time.Second, "completed"},
		"a job that does not":           {"?wait=30s", time.Minute, 30 * time.Second, "queued"},
		"plain seconds":                 {"?wait=30", time.Minute, 30 * time.Second, "queued"},
		"parts of a second":             {"?wait=0.5", time.Minute, 500 * time.Millisecond, "queued"},
		"longer than a minute is cut":   {"?wait=2h", time.Hour, time.Minute, "queued"},
		"many seconds are cut":          {"?wait=99999999999999999999", time.Hour, time.Minute, "queued"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				jobs := reading(dogJob())
				jobs.waitFunc = after(c.takes, finished(dogJob()))
				start := time.Now()
				w := send(t, newServer(t, jobs), "GET", "/v1/jobs/job_abc"+c.wait, "")
				if got := time.Since(start); got != c.want {
					t.Errorf("got an answer after %s, want %s", got, c.want)
				}
				if w.Code != 200 || !strings.Contains(w.Body.String(), `"status":"`+c.status+`"`) {
					t.Errorf("got %d %s", w.Code, w.Body)
				}
				if got := w.Header().Get("Retry-After"); (got != "") != (c.status == "queued") {
					t.Errorf("got Retry-After %q", got)
				}
			})
		})
	}
}

func TestALongPollOfAFinishedJobDoesNotWait(t *testing.T) {
	t.Parallel()
	jobs := reading(finished(dogJob()))
	jobs.waitFunc = func(context.Context, string, job.ID) (job.Job, error) {
		t.Error("waited")
		return job.Job{}, nil
	}
	send(t, newServer(t, jobs), "GET", "/v1/jobs/job_abc?wait=30s", "")
}

func TestLongPollRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t, reading(dogJob()))
	for _, wait := range []string{"-1", "-5s", "soon", "NaN", "Inf", "-Inf", "1e999", "5 s", "1:30"} {
		r := request(t, "GET", "/v1/jobs/job_abc", "")
		q := r.URL.Query()
		q.Set("wait", wait)
		r.URL.RawQuery = q.Encode()
		w := serve(s, r)
		if w.Code != 400 {
			t.Errorf("%s: got %d", wait, w.Code)
			continue
		}
		wantError(t, w, 400, "invalid_value", "wait")
	}
}
