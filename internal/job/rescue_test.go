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
				task := <-s.queue.tasks
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
