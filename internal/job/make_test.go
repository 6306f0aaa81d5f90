package job_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// A job's pictures are queued where its record says that they are, whatever waited before.
func TestTasksAreWhereTheRecordSays(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		limited := of("owner", job.ClassBatch, 3)
		limited.Limits.RPM = 10 // is admitted first, and made after
		for _, n := range []job.New{of("owner", job.ClassInteractive, 10), limited, of("owner", job.ClassInteractive, 10), of("owner", job.ClassBatch, 10)} {
			made := submit(t, s, n)
			read, err := s.service.Get(t.Context(), "owner", made.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(read.Pictures, made.Pictures); diff != "" {
				t.Errorf("record (-) and what is told of it (+):\n%s", diff)
			}
			for i, p := range read.Pictures {
				want := job.Task{Job: made.ID, Image: i, Queue: p.Queue, Owner: "owner"}
				if got := s.queue.next(t); got != want {
					t.Errorf("queued %+v, want %+v", got, want)
				}
			}
		}
	})
}

// again sends the first script after it was armed twice, as a client does that lost the reply.
type again struct {
	armed, late bool // late: the second one comes after its latest moment
	between     func()
	sent        int // scripts that were sent before and after
}

func (*again) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (a *again) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !a.armed || cmd.Name() != "evalsha" {
			if cmd.Name() == "evalsha" {
				a.sent++
			}
			return next(ctx, cmd)
		}
		a.armed = false
		if err := next(ctx, cmd); err != nil {
			return err
		}
		a.between()
		if keys, ok := cmd.Args()[2].(int); ok && a.late {
			cmd.Args()[3+keys] = 1
		}
		return next(ctx, cmd)
	}
}

func (*again) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A job whose making was heard twice is one job, and what became of it in between stays.
func TestALostReplyMakesNoSecondJob(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		hook, client := &again{}, connect(t, url)
		client.AddHook(hook)
		s.service = job.NewService(job.NewStore(client, time.Hour), s.watcher, s.queue, job.NewRateLimiter(client),
			job.ServiceConfig{MaxPending: 1000, Drop: job.DropQueued}, noMetrics{}, slog.New(slog.DiscardHandler))
		t.Cleanup(s.service.ForgetFresh)
		n := request("owner", "a", false)
		n.WaitFor = time.Minute
		submit(t, s, n) // the scripts are known
		s.queue.next(t)

		hook.armed, hook.between = true, func() {}
		made := submit(t, s, n)
		if made.Status != job.StatusQueued || made.Pictures[0].Queue != "exacg-fast" || s.queue.length(t) != 1 {
			t.Errorf("it is %s in queue %s, and %d tasks are queued", made.Status, made.Pictures[0].Queue, s.queue.length(t))
		}
		s.queue.next(t)
		if got := s.waiting(t); got != [2]int64{2, 2} {
			t.Errorf("%v pictures wait, want those of two jobs", got)
		}

		hook.armed, hook.late, hook.sent = true, true, 0
		if made = submit(t, s, n); made.Status != job.StatusQueued || hook.sent != 0 {
			t.Errorf("a job whose making is heard late is %s after %d questions more", made.Status, hook.sent)
		}
		draw(t, s.store, s.queue.next(t))

		hook.armed, hook.late, hook.between = true, false, func() { draw(t, s.store, s.queue.next(t)) }
		if made = submit(t, s, n); made.Status != job.StatusCompleted {
			t.Errorf("a job that was drawn meanwhile is %s", made.Status)
		}
		if w := <-wait(t, s, made.ID); w.err != nil || w.job.Status != job.StatusCompleted {
			t.Errorf("its caller hears %s, %v", w.job.Status, w.err)
		}
		if got := s.waiting(t); got != [2]int64{2, 2} || s.queue.length(t) != 0 {
			t.Errorf("%v pictures wait, want those of the first two jobs; %d tasks are queued", got, s.queue.length(t))
		}
	})
}

// Where a queue takes no task there is no job, and its caller may be told so.
func TestABrokenQueueMakesNoJob(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		if err := s.client.Set(t.Context(), stubKey, "no list", 0).Err(); err != nil {
			t.Fatal(err)
		}
		n := newJob(1)
		n.ID, n.WaitFor = job.NewID(), time.Minute
		if _, err := s.service.Submit(t.Context(), n); imagegen.AsError(err).Kind != imagegen.KindQueueUnavailable {
			t.Errorf("submit = %v, want queue_unavailable", err)
		}
		if _, err := s.store.Get(t.Context(), n.ID); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("the job is there (%v)", err)
		}
	})
}

func TestSubmitSurvivesScriptFlush(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		for range 2 {
			submit(t, s, newJob(1))
			s.queue.next(t)
			if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A refused request leaves no trace of a job beside admission either.
func TestARefusedRequestMakesNoJob(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystemWith(t, url, job.ServiceConfig{MaxPending: 1, Drop: job.DropQueued})
		submit(t, s, newJob(1))
		keys := func() []string { return s.client.Keys(t.Context(), "*").Val() }
		s.queue.next(t)
		before := len(keys())
		n := keyed("k", "body")
		n.Owner, n.WaitFor, n.Limits.ImagesPerDay = "other", time.Minute, 10
		if _, err := s.service.Submit(t.Context(), n); imagegen.AsError(err).Kind != imagegen.KindQueueFull {
			t.Fatalf("submit = %v, want queue_full", err)
		}
		if after := keys(); len(after) != before {
			t.Errorf("%d keys became %d: %v", before, len(after), after)
		}
		if open := s.client.ZCard(t.Context(), "zimage:jobs:open").Val(); open != 1 {
			t.Errorf("%d jobs are open, want 1", open)
		}
	})
}

// A caller that was told that there is no job must not find it drawn when Redis goes on.
func TestAJobIsNotMadeLater(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	s := newSystem(t, server.URL())
	submit(t, s, newJob(1)) // script and clock are known
	s.queue.next(t)
	server.Freeze()
	n := newJob(1)
	n.ID = job.NewID()
	began := time.Now()
	_, err := s.service.Submit(t.Context(), n)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the refusal took %v, want under 2 s", took)
	}
	server.Thaw() // the command waits in Redis' socket
	if imagegen.AsError(err).Kind != imagegen.KindQueueUnavailable {
		t.Fatalf("submit = %v, want queue_unavailable", err)
	}
	submit(t, s, newJob(1)) // Redis has come to what was sent before
	if _, err := s.store.Get(t.Context(), n.ID); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("the refused job is there (%v)", err)
	}
	if n := s.queue.length(t); n != 1 {
		t.Errorf("%d tasks are queued, want that of the last", n)
	}
	if got := s.waiting(t); got != [2]int64{2, 2} {
		t.Errorf("%v pictures wait, want 2", got)
	}
}
