package httpapi_test

import (
	"context"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

func TestCancelJob(t *testing.T) {
	t.Parallel()
	cancelled, stopping := dogJob(), dogJob()
	cancelled.Status, stopping.Status = job.StatusCancelled, job.StatusInProgress
	for name, c := range map[string]struct {
		after            job.Job
		status, retryFor string
	}{
		"one that waits":      {cancelled, "cancelled", ""},
		"one that has ended":  {finished(dogJob()), "completed", ""},
		"one that still runs": {stopping, "in_progress", "4"},
	} {
		jobs := reading(dogJob())
		jobs.cancelFunc = func(_ context.Context, owner string, id job.ID) (job.Job, error) {
			if id != "job_abc" || owner == "" {
				t.Errorf("cancelled %q of %q", id, owner)
			}
			return c.after, nil
		}
		w := send(t, newServer(t, jobs), "POST", "/v1/jobs/job_abc/cancel", "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"status":"`+c.status+`"`) || w.Header().Get("X-Job-Id") != "job_abc" {
			t.Errorf("%s: got %d %v %s", name, w.Code, w.Header(), w.Body)
		}
		if got := w.Header().Get("Retry-After"); got != c.retryFor {
			t.Errorf("%s: got Retry-After %q, want %q", name, got, c.retryFor)
		}
	}
}

func TestDeleteJob(t *testing.T) {
	t.Parallel()
	files := &fakeFiles{}
	for name, id := range map[string]string{"a.png": "job_abc", "b.png": "job_abc", "c.png": "job_other"} {
		if err := files.Put(t.Context(), name, id, smallPNG(t)); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]struct {
		files *fakeFiles
	}{"with a store": {files}, "without": {nil}} {
		server := newServer(t, reading(dogJob()), withEditor(nil))
		if s.files != nil {
			server = newServer(t, reading(dogJob()), withEditor(s.files))
		}
		w := send(t, server, "DELETE", "/v1/jobs/job_abc", "")
		if w.Code != 204 || w.Body.Len() > 0 || w.Header().Get("X-Job-Id") != "job_abc" || w.Header().Get("Content-Type") != "" {
			t.Errorf("%s: got %d %v %q", name, w.Code, w.Header(), w.Body)
		}
	}
	if _, ok := files.kept["c.png"]; !ok || len(files.kept) != 1 {
		t.Errorf("%d pictures are kept", len(files.kept))
	}
}

func TestTheEndOfNobodysJob(t *testing.T) {
	t.Parallel()
	files := &fakeFiles{}
	if err := files.Put(t.Context(), "a.png", "job_xyz", smallPNG(t)); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, reading(dogJob()), withEditor(files))
	for _, target := range []string{"POST /v1/jobs/job_xyz/cancel", "DELETE /v1/jobs/job_xyz", "DELETE /v1/jobs/job%2Fabc"} {
		method, path, _ := strings.Cut(target, " ")
		wantError(t, send(t, s, method, path, ""), 404, "job_not_found", "")
		wantError(t, send(t, s, method, path, "", "Authorization", ""), 401, "invalid_api_key", "")
	}
	if len(files.kept) != 1 {
		t.Error("the pictures of another's job are deleted")
	}
}

func TestTheEndFails(t *testing.T) {
	t.Parallel()
	files := &fakeFiles{}
	if err := files.Put(t.Context(), "a.png", "job_abc", smallPNG(t)); err != nil {
		t.Fatal(err)
	}
	jobs := &fakeJobs{cancelFunc: func(context.Context, string, job.ID) (job.Job, error) {
		return job.Job{}, &imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: "no"}
	}}
	s := newServer(t, jobs, withEditor(files))
	wantError(t, send(t, s, "POST", "/v1/jobs/job_abc/cancel", ""), 503, "queue_unavailable", "")
	wantError(t, send(t, s, "DELETE", "/v1/jobs/job_abc", ""), 503, "queue_unavailable", "")
	if len(files.kept) != 1 {
		t.Error("the pictures of a job that is still there are deleted")
	}
}
