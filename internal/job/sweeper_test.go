package job_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// stubFinder says of every task whether it is lost.
type stubFinder struct {
	lost    bool
	served  []string
	asked   []job.Task
	queued  []job.Task
	removed []job.Task
}

func (f *stubFinder) Lost(_ context.Context, tasks []job.Task) ([]bool, error) {
	f.asked = append(f.asked, tasks...)
	lost := make([]bool, len(tasks))
	for i := range lost {
		lost[i] = f.lost
	}
	return lost, nil
}

func (f *stubFinder) Enqueue(_ context.Context, tasks ...job.Task) error {
	f.queued = append(f.queued, tasks...)
	return nil
}

func (f *stubFinder) Remove(_ context.Context, tasks ...job.Task) error {
	f.removed = append(f.removed, tasks...)
	return nil
}

func (f *stubFinder) ServedNames(context.Context) ([]string, error) { return f.served, nil }

func sweep(t *testing.T, r record, lost bool) *stubFinder {
	t.Helper()
	f := &stubFinder{lost: lost}
	s := job.NewSweeper(r.store, f, slog.New(slog.DiscardHandler))
	if err := s.Sweep(t.Context(), -job.SweepInterval); err != nil { // also what is young
		t.Fatal(err)
	}
	if err := r.client.Del(t.Context(), "zimage:sweeper").Err(); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSweep(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1, 2, 3)
		r.start(0, "drawing", options)
		r.start(1, "drawn", options)
		r.finish(1, "drawn", done(1))

		f := sweep(t, r, false)
		if diff := cmp.Diff(f.asked, []job.Task{r.task(2, 0)}); diff != "" {
			t.Errorf("looked for, with one picture under way and one drawn (-got +want):\n%s", diff)
		}
		if len(f.queued) != 0 {
			t.Errorf("queued %v although nothing is lost", f.queued)
		}

		f = sweep(t, r, true)
		if diff := cmp.Diff(f.queued, []job.Task{r.task(2, 1)}); diff != "" {
			t.Errorf("queued in place of the lost task (-got +want):\n%s", diff)
		}
		if got := r.start(2, "old", options).Verdict; got != job.StartGone {
			t.Errorf("the lost task, come back, may start: %q", got)
		}

		r.finish(0, "drawing", done(1))
		if _, err := r.store.Start(t.Context(), r.task(2, 1), "new", "exacg", options); err != nil {
			t.Fatal(err)
		}
		if got := r.finish(2, "new", done(1)); got != job.StatusCompleted {
			t.Errorf("finish = %q", got)
		}
		if f := sweep(t, r, true); len(f.asked) != 0 {
			t.Errorf("looked for the tasks of a finished job: %v", f.asked)
		}
	})
}

func TestSweepForgetsWhatHasNoRecord(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1)
		if err := r.client.Del(t.Context(), "zimage:job:{"+string(r.id)+"}").Err(); err != nil {
			t.Fatal(err)
		}
		sweep(t, r, true)
		if n := r.client.ZCard(t.Context(), "zimage:jobs:open").Val(); n != 0 {
			t.Errorf("%d jobs without a record are listed as open", n)
		}
	})
}

func TestOneSweeperLeads(t *testing.T) {
	t.Parallel()
	r := newRecord(t, redistest.URL(t), 1)
	for i, want := range []int{1, 0} {
		f := &stubFinder{}
		s := job.NewSweeper(r.store, f, slog.New(slog.DiscardHandler))
		if err := s.Sweep(t.Context(), -job.SweepInterval); err != nil {
			t.Fatal(err)
		}
		if len(f.asked) != want {
			t.Errorf("sweeper %d looked for %d tasks, want %d", i, len(f.asked), want)
		}
	}
}
