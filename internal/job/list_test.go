package job_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// pages reads a whole list.
func pages(t *testing.T, s system, owner string, limit int, status job.Status) (ids []job.ID, count int) {
	t.Helper()
	q := job.ListQuery{Limit: limit, Status: status}
	for more := true; more; count++ {
		var jobs []job.Job
		var err error
		if jobs, more, err = s.service.List(t.Context(), owner, q); err != nil {
			t.Fatal(err)
		}
		if more && len(jobs) != limit {
			t.Fatalf("a page of %d that is not the last has %d jobs", limit, len(jobs))
		}
		for _, j := range jobs {
			ids = append(ids, j.ID)
			q.After = j.ID
		}
	}
	return ids, count
}

func TestList(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		var newestFirst, drawn []job.ID
		for i := range 11 {
			j := submit(t, s, newJob(1))
			newestFirst = append([]job.ID{j.ID}, newestFirst...)
			task := s.queue.next(t)
			if i%3 == 0 {
				draw(t, s.store, task)
				drawn = append([]job.ID{j.ID}, drawn...)
			}
			distinct(t, s, j.ID, i)
		}
		submit(t, s, of("other", job.ClassInteractive, 1))
		for limit, want := range map[int]int{1: 11, 5: 3, 11: 1, 100: 1} {
			got, count := pages(t, s, "owner", limit, "")
			if diff := cmp.Diff(got, newestFirst); diff != "" || count != want {
				t.Errorf("%d pages of %d, want %d (-got +want):\n%s", count, limit, want, diff)
			}
		}
		if got, _ := pages(t, s, "owner", 3, job.StatusCompleted); !cmp.Equal(got, drawn) {
			t.Errorf("finished jobs are %v, want %v", got, drawn)
		}
		if got, _ := pages(t, s, "nobody", 3, ""); len(got) != 0 {
			t.Errorf("nobody has jobs: %v", got)
		}
		if _, _, err := s.service.List(t.Context(), "other", job.ListQuery{Limit: 1, After: newestFirst[0]}); imagegen.AsError(err).Kind != imagegen.KindInvalidValue {
			t.Errorf("a cursor from another's list: %v", err)
		}
	})
}

// Jobs of one state are found among many others, each once.
func TestListOfAStateAmongMany(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		var waiting, drawn []job.ID // newest first
		for i := range 130 {
			j := submit(t, s, newJob(1))
			task := s.queue.next(t)
			if i%40 == 0 {
				draw(t, s.store, task)
				drawn = append([]job.ID{j.ID}, drawn...)
			} else {
				waiting = append([]job.ID{j.ID}, waiting...)
			}
			distinct(t, s, j.ID, i)
		}
		for _, limit := range []int{2, 100} {
			if got, _ := pages(t, s, "owner", limit, job.StatusCompleted); !cmp.Equal(got, drawn) {
				t.Errorf("finished jobs, %d a page, are %v, want %v", limit, got, drawn)
			}
			if got, _ := pages(t, s, "owner", limit, job.StatusQueued); !cmp.Equal(got, waiting) {
				t.Errorf("%d waiting jobs, %d a page, want %d", len(got), limit, len(waiting))
			}
		}
	})
}

// distinct gives jobs that were made in one millisecond an order.
func distinct(t *testing.T, s system, id job.ID, i int) {
	t.Helper()
	if err := s.client.ZAdd(t.Context(), "zimage:jobs:of:owner", z(float64(time.Now().UnixMilli()+int64(i)), string(id))).Err(); err != nil {
		t.Fatal(err)
	}
}

// A job whose record is gone is not listed, and its entry does not stay.
func TestListForgetsWhatIsGone(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		kept := submit(t, s, newJob(1))
		for range 5 { // old, and without a record
			s.client.ZAdd(t.Context(), "zimage:jobs:of:owner", z(1, string(job.NewID())))
		}
		if got, _ := pages(t, s, "owner", 2, ""); !cmp.Equal(got, []job.ID{kept.ID}) {
			t.Errorf("listed %v, want %s", got, kept.ID)
		}
		if n := s.client.ZCard(t.Context(), "zimage:jobs:of:owner").Val(); n != 1 {
			t.Errorf("%d entries are left, want 1", n)
		}
	})
}

// A finished job leaves its owner's list when its record expires.
func TestSweepTakesExpiredJobsOffTheList(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		drawn, cancelled := submit(t, s, newJob(1)), submit(t, s, newJob(1))
		draw(t, s.store, s.queue.next(t))
		if _, err := s.service.Cancel(t.Context(), "owner", cancelled.ID); err != nil {
			t.Fatal(err)
		}
		r := record{t: t, store: s.store, client: s.client}
		sweep(t, r, false)
		if n := s.client.ZCard(t.Context(), "zimage:jobs:of:owner").Val(); n != 2 {
			t.Errorf("%d jobs are listed before they expire, want 2", n)
		}
		for _, id := range []job.ID{drawn.ID, cancelled.ID} {
			if err := s.client.ZAddXX(t.Context(), "zimage:jobs:ended", z(1, "owner "+string(id))).Err(); err != nil {
				t.Fatal(err)
			}
		}
		sweep(t, r, false)
		for _, key := range []string{"zimage:jobs:of:owner", "zimage:jobs:ended", "zimage:jobs:open"} {
			if n := s.client.ZCard(t.Context(), key).Val(); n != 0 {
				t.Errorf("%s holds %d jobs", key, n)
			}
		}
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		waiting := submit(t, s, newJob(1))
		task := s.queue.next(t)
		if err := s.service.Delete(t.Context(), "other", waiting.ID); imagegen.AsError(err).Kind != imagegen.KindJobNotFound {
			t.Errorf("another owner deletes: %v", err)
		}
		if err := s.service.Delete(t.Context(), "owner", waiting.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.store.Get(t.Context(), waiting.ID); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("a deleted job: %v", err)
		}
		if start, err := s.store.Start(t.Context(), task, "late", "exacg", options); err != nil || start.Verdict != job.StartGone {
			t.Errorf("its picture starts: %+v, %v", start, err)
		}
		if end, err := s.store.Finish(t.Context(), task, "late", done(1)); err != nil || end.Status != "" {
			t.Errorf("its picture comes: %+v, %v", end, err)
		}
		if keys := s.client.Keys(t.Context(), "*").Val(); len(keys) != 0 {
			t.Errorf("left behind: %v", keys)
		}
	})
}

func TestListSaysWhenRedisIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	s := newSystem(t, server.URL())
	submit(t, s, newJob(1))
	server.Freeze()
	defer server.Thaw()
	for _, q := range []job.ListQuery{{Limit: 20}, {Limit: 20, Status: job.StatusQueued}, {Limit: 20, After: job.NewID()}} {
		began := time.Now()
		if _, _, err := s.service.List(t.Context(), "owner", q); imagegen.AsError(err).Kind != imagegen.KindQueueUnavailable {
			t.Errorf("list = %v, want queue_unavailable", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the refusal took %v, want under 2 s", took)
		}
	}
}
