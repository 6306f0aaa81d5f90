package worker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

var (
	keyRefused = imagegen.CallError{
		Outcome: imagegen.OutcomeAuth, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamAccount, Message: "not available",
	}
	broke = imagegen.CallError{
		Outcome: imagegen.OutcomeQuota, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamAccount, Message: "not available",
	}
)

// twoKeys gives the upstream a second key.
func twoKeys(second *script) func(*setup) {
	return func(s *setup) { s.upstreams["exacg"] = append(s.upstreams["exacg"], second) }
}

// twoUpstreams gives the model a second upstream.
func twoUpstreams(second *script) func(*setup) {
	return func(s *setup) {
		s.upstreams["local"] = []*script{second}
		s.order = []string{"exacg", "local"}
	}
}

// entries are the ledger's upstreams and outcomes, in order.
func entries(j job.Job) (all []string) {
	for _, c := range j.Calls {
		all = append(all, c.Upstream+" "+string(c.Outcome)+" "+string(c.Billed))
	}
	return all
}

func wantEntries(t *testing.T, j job.Job, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, entries(j)); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

// follow makes the task that was queued last the present one.
func (b *bench) follow() {
	b.t.Helper()
	if len(b.queued.tasks) == 0 {
		b.t.Fatal("no task was queued")
	}
	b.task = b.queued.tasks[len(b.queued.tasks)-1]
}

// A refused key costs no attempt, and the picture no time: the next key draws it.
func TestTheNextKeyIsAskedAtOnce(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		for name, refusal := range map[string]imagegen.CallError{"refused": keyRefused, "out of points": broke} {
			b := newBenchOn(t, url, answers(failing(refusal)), twoKeys(answers(picture)), once)
			if err := b.process(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			j := b.job()
			if j.Status != job.StatusCompleted {
				t.Errorf("%s: job is %s, want completed", name, j.Status)
			}
			wantEntries(t, j, "exacg refused no", "exacg ok yes")
			b.client.FlushDB(t.Context())
		}
	})
}

// While all keys rest, jobs fail at once and nothing is sent.
func TestAllKeysRest(t *testing.T) {
	t.Parallel()
	one, two := answers(failing(keyRefused)), answers(failing(broke))
	b := newBench(t, one, twoKeys(two))
	if err := b.process(t.Context()); !errors.Is(err, queue.ErrArchive) {
		t.Fatalf("process = %v, want the end of the task", err)
	}
	j := b.job()
	if e := j.Pictures[0].Error; j.Status != job.StatusFailed || e == nil || e.Kind != imagegen.KindUpstreamAccount {
		t.Fatalf("job is %s with %+v, want failed with upstream_unavailable", j.Status, e)
	}
	wantEntries(t, j, "exacg refused no", "exacg refused no")
	second := b.another(t)
	if err := b.process(t.Context()); !errors.Is(err, queue.ErrArchive) {
		t.Fatalf("the next picture: %v, want the end of its task", err)
	}
	if j := b.job(); j.Status != job.StatusFailed || len(j.Calls) != 0 {
		t.Errorf("job %s is %s after %d calls, want failed after none", second, j.Status, len(j.Calls))
	}
	if len(one.calls)+len(two.calls) != 2 {
		t.Errorf("%d calls, want 2", len(one.calls)+len(two.calls))
	}
}

// another makes another job of one picture, and its task the present one.
func (b *bench) another(t *testing.T) job.ID {
	t.Helper()
	j := b.job()
	b.task = job.Task{Job: job.NewID(), Queue: "exacg-express"}
	if _, err := b.store.Create(t.Context(), b.task.Job, job.New{Class: j.Class, Spec: j.Spec}, []string{b.task.Queue}, ""); err != nil {
		t.Fatal(err)
	}
	return b.task.Job
}

func TestTheNextUpstream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func() *script
		tasks  int // of the first upstream
		ledger []string
	}{
		"is asked when the attempts are spent":    {func() *script { return answers(failing(unreachable)) }, 3, []string{"exacg failed no", "exacg failed no", "exacg failed no"}},
		"is asked when the account is refused":    {func() *script { return answers(failing(keyRefused)) }, 1, []string{"exacg refused no"}},
		"is asked when the points are used up":    {func() *script { return answers(failing(broke)) }, 1, []string{"exacg refused no"}},
		"is not asked what the first one refused": {func() *script { return answers(failing(refused)) }, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			second := answers(picture)
			b := newBench(t, c.answer(), twoUpstreams(second))
			var err error
			for range c.tasks {
				err = b.process(t.Context())
			}
			if c.ledger == nil {
				if j := b.job(); !errors.Is(err, queue.ErrArchive) || j.Status != job.StatusFailed || len(b.queued.tasks) != 0 {
					t.Errorf("job is %s, tasks %v (%v); want failed, none", j.Status, b.queued.tasks, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("the last task of the first upstream: %v", err)
			}
			old := b.task
			if b.follow(); b.task.Queue != "local-express" {
				t.Fatalf("queued in %s, want local-express", b.task.Queue)
			}
			if err := b.process(t.Context()); err != nil {
				t.Fatal(err)
			}
			j := b.job()
			if j.Status != job.StatusCompleted {
				t.Errorf("job is %s, want completed", j.Status)
			}
			wantEntries(t, j, append(c.ledger, "local ok yes")...)
			b.task = old
			if err := b.process(t.Context()); err != nil || len(second.calls) != 1 {
				t.Errorf("the first upstream's task came again: %v, %d calls", err, len(second.calls))
			}
		})
	}
}

// Each upstream of a list has attempts of its own, and after the last of the last the picture fails as that one said.
func TestAttemptsCountForEachUpstream(t *testing.T) {
	t.Parallel()
	b := newBench(t, answers(failing(unreachable)), twoUpstreams(answers(failing(timeout))), func(s *setup) { s.cfg.MaxAttempts = 2 })
	for range 2 {
		_ = b.process(t.Context())
	}
	b.follow()
	if _, again := pause(b.process(t.Context())); !again {
		t.Fatal("the second upstream is asked once only")
	}
	if err := b.process(t.Context()); !errors.Is(err, queue.ErrArchive) {
		t.Fatalf("the last attempt: %v, want the end of the task", err)
	}
	j := b.job()
	if e := j.Pictures[0].Error; e == nil || e.Kind != imagegen.KindUpstreamTimeout {
		t.Errorf("failure = %+v, want upstream_timeout", e)
	}
	wantEntries(t, j, "exacg failed no", "exacg failed no", "local unknown unknown", "local unknown unknown")
}

// Two upstreams that both refuse the account do not hand a picture to and fro.
func TestNoUpstreamTakesTheAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t, answers(failing(keyRefused)), twoUpstreams(answers(failing(broke))))
	if err := b.process(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.follow()
	if err := b.process(t.Context()); !errors.Is(err, queue.ErrArchive) {
		t.Fatalf("process = %v, want the end of the task", err)
	}
	if e := b.job().Pictures[0].Error; e == nil || e.Kind != imagegen.KindUpstreamAccount || len(b.queued.tasks) != 1 {
		t.Errorf("failure = %+v after %d moves, want upstream_unavailable after 1", e, len(b.queued.tasks))
	}
}

// What may have been paid for is not asked for elsewhere either, where it is not to be repeated.
func TestAnAmbiguousCallMovesNowhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, answers(failing(timeout)), twoUpstreams(answers(picture)), strict, once)
	if err := b.process(t.Context()); !errors.Is(err, queue.ErrArchive) {
		t.Fatalf("process = %v, want the end of the task", err)
	}
	if e := b.job().Pictures[0].Error; e == nil || e.Kind != imagegen.KindUpstreamAmbiguous {
		t.Errorf("failure = %+v, want upstream_outcome_unknown", e)
	}
}

// Whether a call may be repeated is for the upstream to say that it was made to.
func TestTheRuleIsTheCalledUpstreams(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		b := newBenchOn(t, url, answers(failing(timeout)), twoUpstreams(answers(picture)), once, func(s *setup) { s.strict = "local" })
		if err := b.process(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.follow()
		if err := b.process(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, b.job(), "exacg unknown unknown", "local ok yes")
	})
}

// A reply that was lost makes the worker say the same again: an attempt is given back once.
func TestAFreeCallIsFreeOnce(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		b := newBenchOn(t, url, answers(picture))
		o := job.StartOptions{MarkTTL: time.Minute, MaxAttempts: 3, RepeatAmbiguous: true}
		if s, err := b.store.Start(t.Context(), b.task, "a", "exacg", o); err != nil || s.Counted != 1 {
			t.Fatalf("start: %+v, %v", s, err)
		}
		f := job.Finish{Verdict: job.FinishRetry, Free: true, Call: &job.Call{Attempt: 1, Upstream: "exacg", Outcome: job.CallRefused, Billed: imagegen.BilledNo}}
		for range 3 {
			if _, err := b.store.Finish(t.Context(), b.task, "a", f); err != nil {
				t.Fatal(err)
			}
		}
		if s, err := b.store.Start(t.Context(), b.task, "b", "exacg", o); err != nil || s.Counted != 1 || s.Attempt != 2 {
			t.Errorf("the next start: %+v, %v; want the first counted call, the second in all", s, err)
		}
	})
}

func diverted(e *queue.Errand) { e.Diverted = true }

// A picture of an upstream that is spared calls goes to one that is not, without a call; or waits, without an attempt.
func TestDiverted(t *testing.T) {
	t.Parallel()
	fails := func(s *setup) { s.threshold = 1 }
	t.Run("to another upstream", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, answers(failing(unreachable)), twoUpstreams(answers(picture)), fails)
		_ = b.process(t.Context())
		if err := b.process(t.Context(), diverted); err != nil {
			t.Fatal(err)
		}
		b.follow()
		if err := b.process(t.Context()); err != nil || b.task.Upstream() != "local" {
			t.Fatalf("drawn by %s: %v", b.task.Upstream(), err)
		}
		wantEntries(t, b.job(), "exacg failed no", "local ok yes")
		if b.metrics.counts["moved exacg local"] != 1 {
			t.Errorf("metrics: %v", b.metrics.counts)
		}
	})
	t.Run("back, where the second fails in turn", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, answers(picture), twoUpstreams(answers(failing(unreachable))))
		if err := b.process(t.Context(), diverted); err != nil {
			t.Fatal(err)
		}
		b.follow()
		_ = b.process(t.Context())
		if err := b.process(t.Context(), diverted); err != nil {
			t.Fatal(err)
		}
		b.follow()
		if err := b.process(t.Context()); err != nil || b.task.Upstream() != "exacg" {
			t.Fatalf("drawn by %s: %v", b.task.Upstream(), err)
		}
		wantEntries(t, b.job(), "local failed no", "exacg ok yes")
	})
	t.Run("nowhere: its model has one upstream", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, answers(failing(unreachable)), fails)
		_ = b.process(t.Context())
		after, again := pause(b.process(t.Context(), diverted))
		if !again || after != 0 {
			t.Errorf("comes again: %t after %v, want it back in its queue", again, after)
		}
		wantEntries(t, b.job(), "exacg failed no")
	})
}

// Another worker may serve an upstream that this one does not know; one that nobody serves is no way out.
func TestUpstreamsOfOtherWorkers(t *testing.T) {
	t.Parallel()
	unknown := func(s *setup) { s.order = []string{"exacg", "gone", "local"} }
	for name, c := range map[string]struct {
		served []string
		queue  string
	}{
		"some worker serves it": {[]string{"exacg", "local"}, "local-express"},
		"no worker does":        {[]string{"exacg"}, ""},
		"nobody says":           {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, answers(failing(unreachable)), unknown, once)
			b.queued.served = c.served
			err := b.process(t.Context())
			if c.queue == "" {
				if !errors.Is(err, queue.ErrArchive) || len(b.queued.tasks) != 0 {
					t.Errorf("process = %v, queued %v; want the end of the task", err, b.queued.tasks)
				}
				return
			}
			if b.follow(); err != nil || b.task.Queue != c.queue {
				t.Errorf("queued in %s (%v), want %s", b.task.Queue, err, c.queue)
			}
		})
	}
}

// The worker that sent a picture elsewhere may die before it is queued there: its old task says the same again.
func TestMovingTwice(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		b := newBenchOn(t, url, answers(picture), twoUpstreams(answers(picture)))
		m := job.Move{From: "exacg", To: []string{"local"}, MaxAttempts: 3}
		first, err := b.store.Move(t.Context(), b.task, m)
		if err != nil || !first.OK || first.Task.Generation != 1 {
			t.Fatalf("moved: %+v, %v", first, err)
		}
		second, err := b.store.Move(t.Context(), b.task, m)
		if err != nil || second != first {
			t.Errorf("moved again: %+v, %v; want %+v", second, err, first)
		}
		m.From, m.To, m.Refused = "local", nil, true
		if none, err := b.store.Move(t.Context(), first.Task, m); err != nil || !none.None {
			t.Errorf("moved nowhere: %+v, %v", none, err)
		}
		stale := b.task
		stale.Generation = 7
		if nothing, err := b.store.Move(t.Context(), stale, m); err != nil || nothing.OK || nothing.None {
			t.Errorf("a task of another generation moved: %+v, %v", nothing, err)
		}
	})
}
