package job_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// Pictures of an upstream that no worker serves any more go to another of their model, or fail: they wait for ever nowhere.
func TestPicturesOfADesertedUpstream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		served   []string
		patience time.Duration
		queue    string // where the picture waits then
		kind     imagegen.Kind
	}{
		"another is served":          {[]string{"local"}, 0, "local-express", ""},
		"none of the model's is":     {[]string{"other"}, 0, "", imagegen.KindUpstreamAccount},
		"none, and it is bought":     {[]string{"other"}, 0, "", ""},
		"its own is":                 {[]string{"exacg"}, 0, "exacg-express", ""},
		"no worker says anything":    {nil, 0, "exacg-express", ""},
		"workers are just restarted": {[]string{"local"}, time.Minute, "exacg-express", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				s := newSystem(t, url)
				n := newJob(1)
				n.Spec.Upstreams, n.WebhookURL = []string{"exacg", "local"}, "https://example.com/hook"
				j := submit(t, s, n)
				task := s.queue.next(t)
				if name == "none, and it is bought" {
					buy(t, s, task)
				}
				f := &stubFinder{served: c.served}
				sweeper := job.NewSweeper(s.store, f, slog.New(slog.DiscardHandler))
				sweeper.SetPatience(c.patience)
				for range 3 {
					if err := sweeper.Sweep(t.Context(), -job.SweepInterval); err != nil {
						t.Fatal(err)
					}
				}
				j, err := s.store.Get(t.Context(), j.ID)
				if err != nil {
					t.Fatal(err)
				}
				if c.queue == "" && c.kind == "" {
					if image := j.Pictures[0].Image; j.Status != job.StatusCompleted || image == nil || image.URL != "https://example.com/bought.png" {
						t.Errorf("job is %s with %+v, want completed with what was bought", j.Status, image)
					}
					return
				}
				if c.kind != "" {
					if e := j.Pictures[0].Error; j.Status != job.StatusFailed || e == nil || e.Kind != c.kind {
						t.Errorf("job is %s with %+v, want failed with %s", j.Status, e, c.kind)
					}
					if diff := cmp.Diff([]job.Task{job.WebhookTask(j.ID)}, f.queued[:1]); diff != "" {
						t.Errorf("queued (-want +got):\n%s", diff)
					}
					return
				}
				if got := j.Pictures[0].Queue; j.Status != job.StatusQueued || got != c.queue {
					t.Errorf("job is %s in %s, want queued in %s", j.Status, got, c.queue)
				}
				if moved := c.queue != task.Queue; moved != (len(f.queued) == 1) || moved != (len(f.removed) == 1) {
					t.Errorf("queued %v, removed %v", f.queued, f.removed)
				}
			})
		})
	}
}

// buy draws a picture whose copy is never made.
func buy(t *testing.T, s system, task job.Task) {
	t.Helper()
	o := options
	o.MarkTTL = -time.Second // a mark that is over at once: its worker died
	if _, err := s.store.Start(t.Context(), task, "call", "exacg", o); err != nil {
		t.Fatal(err)
	}
	f := job.Finish{
		Verdict: job.FinishBought, Image: &imagegen.Image{URL: "https://example.com/bought.png"},
		Call: &job.Call{Attempt: 1, Upstream: "exacg", Outcome: job.CallOK, Billed: imagegen.BilledYes},
	}
	if _, err := s.store.Finish(t.Context(), task, "call", f); err != nil {
		t.Fatal(err)
	}
}

// Whether a call may be repeated is not the sweeper's to say: the next upstream's rule holds.
func TestAMoveThatRepeatsNothing(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		submit(t, s, newJob(1))
		task := s.queue.next(t)
		o := options
		o.MarkTTL = time.Millisecond
		if _, err := s.store.Start(t.Context(), task, "call", "exacg", o); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond) // its worker has died
		moved, err := s.store.Move(t.Context(), task, job.Move{From: "exacg", To: []string{"local"}, MaxAttempts: 9})
		if err != nil || !moved.OK {
			t.Fatalf("moved: %+v, %v", moved, err)
		}
		o.RepeatAmbiguous = false
		if start, err := s.store.Start(t.Context(), moved.Task, "next", "local", o); err != nil || start.Verdict != job.StartAmbiguous {
			t.Errorf("start = %+v, %v; want ambiguous", start, err)
		}
	})
}
