package job_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func z(score float64, member string) redis.Z { return redis.Z{Score: score, Member: member} }

// called is a job whose caller stays on the line.
func called(seeds ...uint32) job.New {
	n := newJob(seeds...)
	n.WaitFor = time.Minute
	return n
}

func enter(t *testing.T, s system, n job.New) job.Submission {
	t.Helper()
	sub, err := s.service.Submit(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// left makes as if the last caller had left longer ago than the grace.
func left(t *testing.T, s system, id job.ID) {
	t.Helper()
	key := "zimage:job:{" + string(id) + "}"
	if s.client.HExists(t.Context(), key, "left").Val() {
		s.client.HSet(t.Context(), key, "left", "1")
	}
}

// Whether a job that was left is dropped depends on who else waits, what was promised, and whether it has started.
func TestDroppingAJob(t *testing.T) {
	t.Parallel()
	queued := job.DropRule{Left: 5 * time.Second}
	always := job.DropRule{Left: 5 * time.Second, Started: true}
	for name, c := range map[string]struct {
		do   func(t *testing.T, s system, sub job.Submission)
		rule job.DropRule
		want job.Status
	}{
		"nobody left it": {func(*testing.T, system, job.Submission) {}, always, job.StatusQueued},
		"its caller left": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
			left(t, s, sub.Job.ID)
		}, queued, job.StatusCancelled},
		"its caller left a moment ago": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
		}, queued, job.StatusQueued},
		"another caller joined on another process": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			if _, err := s.another(t).Join(t.Context(), "owner", sub.Job.ID, time.Minute); err != nil {
				t.Fatal(err)
			}
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
			left(t, s, sub.Job.ID)
		}, always, job.StatusQueued},
		"another caller joined after it was left": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
			if _, err := s.another(t).Join(t.Context(), "owner", sub.Job.ID, time.Minute); err != nil {
				t.Fatal(err)
			}
			left(t, s, sub.Job.ID)
		}, always, job.StatusQueued},
		"both callers left": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			token, err := s.another(t).Join(t.Context(), "owner", sub.Job.ID, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
			s.another(t).Leave(t.Context(), sub.Job.ID, token)
			left(t, s, sub.Job.ID)
		}, queued, job.StatusCancelled},
		"the other caller's time is over": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			if _, err := s.another(t).Join(t.Context(), "owner", sub.Job.ID, -time.Second); err != nil {
				t.Fatal(err)
			}
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
			left(t, s, sub.Job.ID)
		}, queued, job.StatusCancelled},
		"somebody was promised that it goes on": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			token, err := s.service.Join(t.Context(), "owner", sub.Job.ID, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.service.Keep(t.Context(), sub.Job.ID, token); err != nil {
				t.Fatal(err)
			}
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
			left(t, s, sub.Job.ID)
		}, always, job.StatusQueued},
		"it has started": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			if _, err := s.store.Start(t.Context(), s.queue.next(t), "call", "exacg", options); err != nil {
				t.Fatal(err)
			}
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
			left(t, s, sub.Job.ID)
		}, queued, job.StatusInProgress},
		"it has started, and that does not matter": {func(t *testing.T, s system, sub job.Submission) {
			t.Helper()
			if _, err := s.store.Start(t.Context(), s.queue.next(t), "call", "exacg", options); err != nil {
				t.Fatal(err)
			}
			s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
			left(t, s, sub.Job.ID)
		}, always, job.StatusCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				s := newSystemWith(t, url, job.ServiceConfig{MaxPending: 1000, Drop: job.DropAlways})
				sub := enter(t, s, called(1))
				c.do(t, s, sub)
				if _, err := s.store.Cancel(t.Context(), sub.Job.ID, &c.rule, false); err != nil {
					t.Fatal(err)
				}
				j, err := s.store.Get(t.Context(), sub.Job.ID)
				if err != nil || j.Status != c.want {
					t.Errorf("the job is %s (%v), want %s", j.Status, err, c.want)
				}
			})
		})
	}
}

// The service drops by itself what was left, after the grace, and nothing before.
func TestLeftJobsAreDropped(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	sub := enter(t, s, called(1))
	began := time.Now()
	ended := wait(t, s, sub.Job.ID)
	s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
	if w := <-ended; w.err != nil || w.job.Status != job.StatusCancelled {
		t.Fatalf("wait = %s, %v", w.job.Status, w.err)
	}
	if took := time.Since(began); took < 5*time.Second || took > 8*time.Second {
		t.Errorf("dropped after %v, want a little over 5 s", took)
	}
	if task := <-s.queue.removed; task.Job != sub.Job.ID {
		t.Errorf("taken out of the queue: %+v", task)
	}
	if got := s.waiting(t); got != [2]int64{} {
		t.Errorf("%v pictures wait", got)
	}
}

func TestWhoHasNoPlaceOnTheLine(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		if sub := enter(t, s, newJob(1)); sub.Token != "" {
			t.Error("a caller that does not wait has a place")
		}
		batch := newJob(1)
		batch.Class = job.ClassBatch
		if token, err := s.service.Join(t.Context(), "owner", enter(t, s, batch).Job.ID, time.Minute); err != nil || token != "" {
			t.Errorf("a place on the line of a batch job: %q, %v", token, err)
		}
		if token, err := s.service.Join(t.Context(), "owner", job.NewID(), time.Minute); err != nil || token != "" {
			t.Errorf("a place on the line of no job: %q, %v", token, err)
		}
		never := newSystemWith(t, url, job.ServiceConfig{MaxPending: 1000, Drop: job.DropNever})
		if sub := enter(t, never, called(1)); sub.Token != "" {
			t.Error("a caller has a place where nothing is ever dropped")
		}
	})
}
