package httpapi_test

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// listing returns a job service whose lists hold the jobs.
func listing(more bool, jobs ...job.Job) *fakeJobs {
	return &fakeJobs{listFunc: func(context.Context, string, job.ListQuery) ([]job.Job, bool, error) { return jobs, more, nil }}
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	waiting, running, done := dogJob(), dogJob(), finished(dogJob())
	waiting.ID, running.ID, done.ID = "job_c", "job_b", "job_a"
	running.Status, running.StartedAt = job.StatusInProgress, time.Unix(1730800001, 0)
	waiting.Wish = job.Wish{Metadata: map[string]string{"order": "17"}, WebhookURL: "https://client.example/hook"}
	jobs := listing(true, waiting, running, done)
	jobs.outlookFunc = func(_ context.Context, asked ...job.Job) ([]job.Outlook, error) {
		var ids []job.ID
		for _, j := range asked {
			ids = append(ids, j.ID)
		}
		if diff := cmp.Diff(ids, []job.ID{"job_c", "job_b", "job_a"}); diff != "" {
			t.Errorf("asked for (-got +want):\n%s", diff)
		}
		return []job.Outlook{{Position: 3, ETA: 11500 * time.Millisecond}, {ETA: 4 * time.Second}, {Position: 9, ETA: time.Second}}, nil
	}
	w := send(t, newServer(t, jobs), "GET", "/v1/jobs", "")
	golden(t, "jobs.json", w.Body.Bytes())
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Job-Id") != "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	if strings.Contains(w.Body.String(), "client.example") {
		t.Error("a webhook is shown, which may hold a password")
	}
}

func TestListNoJobs(t *testing.T) {
	t.Parallel()
	w := send(t, newServer(t, listing(false)), "GET", "/jobs/", "")
	if got, want := w.Body.String(), `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}`+"\n"; got != want || w.Code != 200 {
		t.Errorf("got %d %s, want %s", w.Code, got, want)
	}
}

func TestListQueries(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		query string
		want  job.ListQuery
	}{
		"none":                {"", job.ListQuery{Limit: 20}},
		"empty ones":          {"limit=&after=&status=", job.ListQuery{Limit: 20}},
		"the fewest":          {"limit=1", job.ListQuery{Limit: 1}},
		"the most":            {"limit=100", job.ListQuery{Limit: 100}},
		"more than that":      {"limit=1000", job.ListQuery{Limit: 100}},
		"all of them":         {"limit=5&after=job_abc&status=in_progress", job.ListQuery{Limit: 5, After: "job_abc", Status: job.StatusInProgress}},
		"what is not ours":    {"order=asc&before=x&api-version=1", job.ListQuery{Limit: 20}},
		"the first of two":    {"limit=3&limit=4", job.ListQuery{Limit: 3}},
		"every state, queued": {"status=queued", job.ListQuery{Limit: 20, Status: job.StatusQueued}},
		"completed":           {"status=completed", job.ListQuery{Limit: 20, Status: job.StatusCompleted}},
		"failed":              {"status=failed", job.ListQuery{Limit: 20, Status: job.StatusFailed}},
		"cancelled":           {"status=cancelled", job.ListQuery{Limit: 20, Status: job.StatusCancelled}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got job.ListQuery
			var owner string
			jobs := listing(false)
			jobs.listFunc = func(_ context.Context, o string, q job.ListQuery) ([]job.Job, bool, error) {
				owner, got = o, q
				return nil, false, nil
			}
			s := newServer(t, jobs)
			if w := send(t, s, "GET", "/v1/jobs?"+c.query, ""); w.Code != 200 {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
			send(t, s, "POST", "/v1/jobs", `{"prompt":"a"}`)
			if want := jobs.last(t).Owner; owner != want {
				t.Errorf("listed the jobs of %q, want %q", owner, want)
			}
		})
	}
}

func TestListQueriesRefused(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{listFunc: func(_ context.Context, _ string, q job.ListQuery) ([]job.Job, bool, error) {
		if q.After == "" {
			t.Errorf("listed %+v", q)
		}
		return nil, false, &imagegen.Error{Kind: imagegen.KindInvalidValue, Param: "after", Message: "no"}
	}}
	s := newServer(t, jobs)
	for param, values := range map[string][]string{
		"limit":  {"0", "-1", "x", "1.5", "1e1", " 1", "99999999999999999999"},
		"status": {"done", "Queued", "queued,failed", "job.queued"},
		"after":  {"job_gone", "\x00", strings.Repeat("a", 5000)},
	} {
		for _, v := range values {
			wantError(t, send(t, s, "GET", "/v1/jobs?"+url.Values{param: {v}}.Encode(), ""), 400, "invalid_value", param)
		}
	}
	message := wantError(t, send(t, s, "GET", "/v1/jobs?status=done", ""), 400, "invalid_value", "status")
	if !strings.Contains(message, "queued, in_progress, completed, failed, cancelled") {
		t.Errorf("the message does not name the states: %s", message)
	}
}

// A list is worth more than the guesses in it.
func TestListJobsWithoutAnOutlook(t *testing.T) {
	t.Parallel()
	jobs := listing(false, dogJob(), dogJob())
	jobs.outlookFunc = func(context.Context, ...job.Job) ([]job.Outlook, error) {
		return nil, &imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: "no"}
	}
	w := send(t, newServer(t, jobs), "GET", "/v1/jobs", "")
	var list struct {
		Data []struct {
			Position *int `json:"queue_position"`
		} `json:"data"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 || len(list.Data) != 2 || list.Data[0].Position != nil {
		t.Errorf("got %d %s (%v)", w.Code, w.Body, err)
	}
}

func TestListJobsFails(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{listFunc: func(context.Context, string, job.ListQuery) ([]job.Job, bool, error) {
		return nil, false, &imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: "no"}
	}}
	wantError(t, send(t, newServer(t, jobs), "GET", "/v1/jobs", ""), 503, "queue_unavailable", "")
}
