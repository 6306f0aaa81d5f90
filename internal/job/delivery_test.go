package job_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// told is a job of whose end a server is told.
func told(seeds ...uint32) job.New {
	n := newJob(seeds...)
	n.WebhookURL = "https://example.com/hook"
	return n
}

// However a job ends, its end says that somebody is to be told, once.
func TestEndsAreTold(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, system, job.ID, job.Task) []bool{
		"completed": func(t *testing.T, s system, _ job.ID, task job.Task) (hooks []bool) {
			t.Helper()
			start, err := s.store.Start(t.Context(), task, "call", "exacg", options)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				e, err := s.store.Finish(t.Context(), task, "call", done(start.Attempt))
				if err != nil {
					t.Fatal(err)
				}
				hooks = append(hooks, e.Webhook)
			}
			return hooks
		},
		"cancelled": func(t *testing.T, s system, id job.ID, _ job.Task) (hooks []bool) {
			t.Helper()
			for range 2 {
				e, err := s.store.Cancel(t.Context(), id, nil, false)
				if err != nil {
					t.Fatal(err)
				}
				hooks = append(hooks, e.Webhook)
			}
			return hooks
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				s := newSystem(t, url)
				j := submit(t, s, told(1))
				task := s.queue.next(t)
				if _, due, err := s.store.BeginDelivery(t.Context(), j.ID); err != nil || due {
					t.Errorf("before the end: due %t, %v", due, err)
				}
				// A finish that is heard twice is the same end: its reply may have been lost the first time.
				if diff := cmp.Diff(end(t, s, j.ID, task), []bool{true, name == "completed"}); diff != "" {
					t.Errorf("webhooks of the end and its repetition (-got +want):\n%s", diff)
				}
				for try := 1; try <= 2; try++ {
					d, due, err := s.store.BeginDelivery(t.Context(), j.ID)
					if err != nil || !due || d.Try != try || d.URL != "https://example.com/hook" || !d.Job.Status.Terminal() || d.Job.CompletedAt.IsZero() {
						t.Errorf("delivery %d = %+v, %t, %v", try, d, due, err)
					}
				}
				if err := s.store.EndDelivery(t.Context(), j.ID, true); err != nil {
					t.Fatal(err)
				}
				if _, due, err := s.store.BeginDelivery(t.Context(), j.ID); err != nil || due {
					t.Errorf("after it was delivered: due %t, %v", due, err)
				}
				if n := s.client.ZCard(t.Context(), "zimage:jobs:open").Val(); n != 0 {
					t.Errorf("%d jobs are still open", n)
				}
			})
		})
	}
}

// The job of a cancelled queued task gets its webhook from whoever cancelled it.
func TestCancelQueuesTheWebhook(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	j := submit(t, s, told(1))
	s.queue.next(t)
	if _, err := s.service.Cancel(t.Context(), "owner", j.ID); err != nil {
		t.Fatal(err)
	}
	if task := s.queue.next(t); task != job.WebhookTask(j.ID) {
		t.Errorf("queued %+v", task)
	}
}

// A webhook whose task was lost is queued again, until it is settled.
func TestSweepQueuesLostWebhooks(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		j := submit(t, s, told(1))
		draw(t, s.store, s.queue.next(t))
		r := record{t: t, store: s.store, client: s.client}
		if f := sweep(t, r, false); len(f.queued) != 0 || len(f.asked) != 1 {
			t.Errorf("looked for %v, queued %v", f.asked, f.queued)
		}
		f := sweep(t, r, true)
		if want := []job.Task{job.WebhookTask(j.ID)}; !cmp.Equal(f.queued, want) || !cmp.Equal(f.removed, want) {
			t.Errorf("removed %v, queued %v; want %v", f.removed, f.queued, want)
		}
		if err := s.store.EndDelivery(t.Context(), j.ID, false); err != nil {
			t.Fatal(err)
		}
		if f := sweep(t, r, true); len(f.asked) != 0 {
			t.Errorf("after it was given up, looked for %v", f.asked)
		}
	})
}

// A delivery may take a day. It outlives the time for which the job can be read.
func TestDeliveriesOutliveTheRetention(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		short := job.NewStore(s.client, time.Millisecond)
		j := submit(t, s, told(1))
		draw(t, short, s.queue.next(t))
		waitUntil(t, "the retention is over", func() bool {
			_, err := short.Get(t.Context(), j.ID)
			return errors.Is(err, job.ErrNotFound)
		})
		if jobs, _, err := short.List(t.Context(), "owner", job.ListQuery{Limit: 10}); err != nil || len(jobs) != 0 {
			t.Errorf("listed after its retention: %v, %v", jobs, err)
		}
		if d, due, err := short.BeginDelivery(t.Context(), j.ID); err != nil || !due || d.Job.Status != job.StatusCompleted {
			t.Errorf("delivery = %+v, %t, %v", d, due, err)
		}
		if err := short.EndDelivery(t.Context(), j.ID, true); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "the record is gone", func() bool {
			return s.client.Exists(t.Context(), "zimage:job:{"+string(j.ID)+"}").Val() == 0
		})
	})
}

// Nobody is told of the end of a job that was deleted.
func TestDeleteTellsNobody(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	j := submit(t, s, told(1))
	s.queue.next(t)
	if err := s.service.Delete(t.Context(), "owner", j.ID); err != nil {
		t.Fatal(err)
	}
	if n := s.queue.length(t); n != 0 {
		t.Errorf("%d tasks are queued", n)
	}
}
