package job_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func submit(t *testing.T, s system, n job.New) job.Job {
	t.Helper()
	sub, err := s.service.Submit(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return sub.Job
}

// request is a job as a client's request makes it; repeated says that the client sends it again.
func request(owner, body string, repeated bool) job.New {
	n := newJob(1)
	n.Owner, n.Claim = owner, job.Claim{Mode: job.ClaimFirst, Key: owner + body, Body: body}
	if repeated {
		n.Claim.Mode = job.ClaimRetry
	}
	return n
}

func TestRepetitionsJoin(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		first := submit(t, s, request("owner", "a", false))
		task := s.queue.next(t)
		if again := submit(t, s, request("owner", "a", true)); again.ID != first.ID {
			t.Errorf("the repetition made %s beside %s", again.ID, first.ID)
		}
		draw(t, s.store, task)
		if again := submit(t, s, request("owner", "a", true)); again.ID != first.ID || again.Status != job.StatusCompleted {
			t.Errorf("after the end the repetition got %s, %s", again.ID, again.Status)
		}
		for what, n := range map[string]job.New{
			"a request that is no repetition": request("owner", "a", false),
			"another request's repetition":    request("owner", "b", true),
			"another owner's repetition":      request("other", "a", true),
		} {
			if j := submit(t, s, n); j.ID == first.ID {
				t.Errorf("%s joined", what)
			}
		}
	})
}

func TestNewestJobIsJoinedUnlessCancelled(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		submit(t, s, request("owner", "a", false))
		newest := submit(t, s, request("owner", "a", false))
		if again := submit(t, s, request("owner", "a", true)); again.ID != newest.ID {
			t.Errorf("the repetition joined %s, want the newest", again.ID)
		}
		if _, err := s.service.Cancel(t.Context(), "owner", newest.ID); err != nil {
			t.Fatal(err)
		}
		if again := submit(t, s, request("owner", "a", true)); again.ID == newest.ID {
			t.Error("the repetition joined a cancelled job")
		}
	})
}

func TestWishesAreKept(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		n := newJob(1)
		n.Wish = job.Wish{Metadata: map[string]string{"shop": "42 \u2028 {}"}, Background: true}
		j, err := s.service.Get(t.Context(), "owner", submit(t, s, n).ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(n.Wish, j.Wish); diff != "" {
			t.Errorf("wish (-want +got):\n%s", diff)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		made := submit(t, s, newJob(1, 2))
		first := s.queue.next(t)
		draw(t, s.store, first)
		result := wait(t, s, made.ID)
		j, err := s.service.Cancel(t.Context(), "owner", made.ID)
		if err != nil || j.Status != job.StatusCancelled || j.Pictures[0].Image == nil {
			t.Fatalf("cancel = %+v, %v", j, err)
		}
		if w := <-result; w.err != nil || w.job.Status != job.StatusCancelled {
			t.Errorf("the waiter heard %s, %v", w.job.Status, w.err)
		}
		if j.CompletedAt.IsZero() || j.ExpiresAt.Sub(j.CompletedAt) != time.Hour {
			t.Errorf("completed %v, expires %v", j.CompletedAt, j.ExpiresAt)
		}
		if len(s.queue.removed) == 0 {
			t.Error("its tasks stay in the queue")
		}
		second := s.queue.next(t)
		if start, err := s.store.Start(t.Context(), second, "late", "exacg", options); err != nil || start.Verdict != job.StartGone {
			t.Errorf("a cancelled picture starts: %+v, %v", start, err)
		}
		if again, err := s.service.Cancel(t.Context(), "owner", made.ID); err != nil || again.Version != j.Version {
			t.Errorf("cancelling twice changed it: %+v, %v", again, err)
		}
		if _, err := s.service.Cancel(t.Context(), "other", made.ID); imagegen.AsError(err).Kind != imagegen.KindJobNotFound {
			t.Errorf("another owner cancels: %v", err)
		}
	})
}

func TestKeptUntil(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		made := submit(t, s, newJob(1))
		if until, ok, err := s.store.KeptUntil(t.Context(), string(made.ID)); err != nil || !ok || time.Until(until) <= 0 {
			t.Errorf("unfinished: %v, %v, %v", until, ok, err)
		}
		// One that is kept for a second after its end is asked about soon enough to be missed by no more than 20 s.
		short := job.NewStore(connect(t, url), time.Second)
		if until, ok, err := short.KeptUntil(t.Context(), string(made.ID)); err != nil || !ok || time.Until(until) > 10*time.Second {
			t.Errorf("unfinished, kept shortly: %v, %v, %v", until, ok, err)
		}
		draw(t, s.store, s.queue.next(t))
		j, err := s.service.Get(t.Context(), "owner", made.ID)
		if err != nil {
			t.Fatal(err)
		}
		if until, ok, err := s.store.KeptUntil(t.Context(), string(made.ID)); err != nil || !ok || !until.Equal(j.ExpiresAt) {
			t.Errorf("finished: %v, %v, %v; want %v", until, ok, err, j.ExpiresAt)
		}
		if _, ok, err := s.store.KeptUntil(t.Context(), string(job.NewID())); err != nil || ok {
			t.Errorf("unknown: %v, %v", ok, err)
		}
	})
}
