package worker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// script is an upstream that answers its calls one after the other.
type script struct {
	mu    sync.Mutex
	calls []imagegen.Order
	steps []func(ctx context.Context) (imagegen.Drawing, error)
}

func (s *script) Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error) {
	s.mu.Lock()
	step := s.steps[min(len(s.calls), len(s.steps)-1)]
	s.calls = append(s.calls, o)
	s.mu.Unlock()
	return step(ctx)
}

func (s *script) CloseIdleConnections() {}

func answers(steps ...func(ctx context.Context) (imagegen.Drawing, error)) *script {
	return &script{steps: steps}
}

func picture(context.Context) (imagegen.Drawing, error) {
	return imagegen.Drawing{URL: "https://example.com/a.png", Seed: 1, Width: 64, Height: 64}, nil
}

func failing(e imagegen.CallError) func(context.Context) (imagegen.Drawing, error) {
	return func(context.Context) (imagegen.Drawing, error) { return imagegen.Drawing{}, &e }
}

var (
	busy = imagegen.CallError{
		Outcome: imagegen.OutcomeRateLimited, Billed: imagegen.BilledNo, Transient: true,
		Kind: imagegen.KindUpstreamError, Message: "busy", RetryAfter: 7 * time.Second,
	}
	timeout = imagegen.CallError{
		Outcome: imagegen.OutcomeTimeout, Billed: imagegen.BilledUnknown, Transient: true,
		Kind: imagegen.KindUpstreamTimeout, Message: "took too long",
	}
	unreachable = imagegen.CallError{
		Outcome: imagegen.OutcomeNetwork, Billed: imagegen.BilledNo, Transient: true,
		Kind: imagegen.KindUpstreamError, Message: "not reached", Err: errors.New("dial secret-host"),
	}
	refused = imagegen.CallError{
		Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamRejected, Message: "nudity",
	}
)

// pause returns what the queue is asked to wait; false where the task is not to come again.
func pause(err error) (time.Duration, bool) {
	retry, ok := errors.AsType[*queue.RetryError](err)
	if !ok {
		return 0, false
	}
	return retry.After, true
}

func strict(s *setup) { s.repeatAmbiguous = false }
func once(s *setup)   { s.cfg.MaxAttempts = 1 }

func TestOneCall(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		answer  func(context.Context) (imagegen.Drawing, error)
		tune    func(*setup)
		status  job.Status
		kind    imagegen.Kind
		outcome job.CallOutcome
		billed  imagegen.Billed
		after   [2]time.Duration // bounds of the pause; zero: does not come again
		archive bool
	}{
		"a picture": {
			answer: picture, status: job.StatusCompleted, outcome: job.CallOK, billed: imagegen.BilledYes,
		},
		"a refusal is final": {
			answer: failing(refused), status: job.StatusFailed, kind: imagegen.KindUpstreamRejected,
			outcome: job.CallRefused, billed: imagegen.BilledNo, archive: true,
		},
		"busy comes again when the upstream says": {
			answer: failing(busy), status: job.StatusInProgress, outcome: job.CallRefused, billed: imagegen.BilledNo,
			after: [2]time.Duration{7 * time.Second, 7 * time.Second},
		},
		"a network failure comes again with backoff": {
			answer: failing(unreachable), status: job.StatusInProgress, outcome: job.CallFailed, billed: imagegen.BilledNo,
			after: [2]time.Duration{time.Second / 2, time.Second},
		},
		"a timeout is repeated by default": {
			answer: failing(timeout), status: job.StatusInProgress, outcome: job.CallUnknown, billed: imagegen.BilledUnknown,
			after: [2]time.Duration{time.Second / 2, time.Second},
		},
		"a timeout is not repeated where it may have been paid for": {
			answer: failing(timeout), tune: strict, status: job.StatusFailed, kind: imagegen.KindUpstreamAmbiguous,
			outcome: job.CallUnknown, billed: imagegen.BilledUnknown, archive: true,
		},
		"what was not sent is repeated even then": {
			answer: failing(unreachable), tune: strict, status: job.StatusInProgress, outcome: job.CallFailed, billed: imagegen.BilledNo,
			after: [2]time.Duration{time.Second / 2, time.Second},
		},
		"the last attempt's failure is the job's": {
			answer: failing(timeout), tune: once, status: job.StatusFailed, kind: imagegen.KindUpstreamTimeout,
			outcome: job.CallUnknown, billed: imagegen.BilledUnknown, archive: true,
		},
		"a panic is a failed attempt": {
			answer: func(context.Context) (imagegen.Drawing, error) { panic("bug") }, status: job.StatusInProgress,
			outcome: job.CallUnknown, billed: imagegen.BilledUnknown, after: [2]time.Duration{time.Second / 2, time.Second},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.tune == nil {
				c.tune = func(*setup) {}
			}
			b := newBench(t, answers(c.answer), c.tune)
			err := b.process(t.Context())
			after, again := pause(err)
			if again != (c.after[1] > 0) || after < c.after[0] || after > c.after[1] {
				t.Errorf("comes again: %t after %v, want %v", again, after, c.after)
			}
			if got := errors.Is(err, queue.ErrArchive); got != c.archive {
				t.Errorf("archived: %t, want %t (%v)", got, c.archive, err)
			}
			j := b.job()
			if j.Status != c.status {
				t.Errorf("job is %s, want %s", j.Status, c.status)
			}
			if got := j.Calls[0]; got.Outcome != c.outcome || got.Billed != c.billed {
				t.Errorf("ledger says %s, billed %s; want %s, %s", got.Outcome, got.Billed, c.outcome, c.billed)
			}
			if e := j.Pictures[0].Error; c.kind != "" && (e == nil || e.Kind != c.kind) || c.kind == "" && e != nil {
				t.Errorf("failure = %+v, want %q", e, c.kind)
			}
		})
	}
}

func TestAttemptsAreCountedInTheLedger(t *testing.T) {
	t.Parallel()
	b := newBench(t, answers(failing(busy), failing(unreachable), picture))
	for range 2 {
		if _, again := pause(b.process(t.Context())); !again {
			t.Fatal("the picture does not come again")
		}
	}
	if err := b.process(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.process(t.Context()); err != nil {
		t.Errorf("a task that comes after the end: %v", err)
	}
	j := b.job()
	if j.Status != job.StatusCompleted || len(j.Calls) != 3 {
		t.Errorf("job is %s after %d calls, want completed after 3", j.Status, len(j.Calls))
	}
	want := map[string]int{
		"wait express": 1, "exacg rate_limited": 1, "exacg network": 1, "exacg ok": 1,
		"retried rate_limited": 1, "retried network": 1, "job completed": 1,
	}
	if diff := cmp.Diff(b.metrics.counts, want); diff != "" {
		t.Errorf("metrics (-got +want):\n%s", diff)
	}
}

func TestAPictureIsDrawnByOne(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	upstream := answers(func(ctx context.Context) (imagegen.Drawing, error) {
		close(started)
		<-release
		return picture(ctx)
	})
	b := newBench(t, upstream)
	ended := make(chan error, 1)
	go func() { ended <- b.process(t.Context()) }()
	<-started
	after, again := pause(b.process(t.Context()))
	if !again || after < 50*time.Second || after > 62*time.Second {
		t.Errorf("a second worker comes again: %t after %v, want the rest of the owner's minute", again, after)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := len(upstream.calls); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// A worker that has to stop hands its work back at once, and says what the cut call may have cost.
func TestHandBack(t *testing.T) {
	t.Parallel()
	// process runs the task and stops the worker in mid-call.
	process := func(t *testing.T, tune func(*setup)) (*bench, error) {
		t.Helper()
		ctx, stop := context.WithCancelCause(t.Context())
		cut := func(ctx context.Context) (imagegen.Drawing, error) {
			stop(queue.ErrStopping)
			<-ctx.Done()
			return imagegen.Drawing{}, &imagegen.CallError{
				Outcome: imagegen.OutcomeCancelled, Billed: imagegen.BilledUnknown, Transient: true,
				Kind: imagegen.KindUpstreamError, Message: "cancelled", Err: context.Cause(ctx),
			}
		}
		b := newBench(t, answers(cut, picture), tune)
		return b, b.process(ctx)
	}
	t.Run("the task comes again at once", func(t *testing.T) {
		t.Parallel()
		b, err := process(t, func(*setup) {})
		if after, again := pause(err); !again || after != 0 {
			t.Errorf("comes again: %t after %v, want at once", again, after)
		}
		if got := b.job().Calls[0]; got.Outcome != job.CallCancelled || got.Billed != imagegen.BilledUnknown {
			t.Errorf("ledger says %s, billed %s", got.Outcome, got.Billed)
		}
		if err := b.process(t.Context()); err != nil {
			t.Errorf("the next worker: %v", err)
		}
	})
	t.Run("or the job fails where such calls are not repeated", func(t *testing.T) {
		t.Parallel()
		b, err := process(t, strict)
		if !errors.Is(err, queue.ErrArchive) {
			t.Errorf("process = %v, want the end of the task", err)
		}
		if e := b.job().Pictures[0].Error; e == nil || e.Kind != imagegen.KindUpstreamAmbiguous {
			t.Errorf("failure = %+v, want upstream_outcome_unknown", e)
		}
	})
}

// What was paid for is recorded when Redis is back, however long that takes.
func TestResultOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{AppendOnly: true})
	started, release := make(chan struct{}), make(chan struct{})
	b := newBenchOn(t, server.URL(), answers(func(ctx context.Context) (imagegen.Drawing, error) {
		close(started)
		<-release
		return picture(ctx)
	}))
	ended := make(chan error, 1)
	go func() { ended <- b.process(t.Context()) }()
	<-started
	server.Kill()
	close(release)
	select {
	case err := <-ended:
		t.Fatalf("the result was given up while Redis was away: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	server.Restart()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if j := b.job(); j.Status != job.StatusCompleted {
		t.Errorf("job is %s, want completed", j.Status)
	}
}

// A worker that may not stay does not wait for Redis for ever.
func TestStoppingEndsTheWaitForRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	b := newBenchOn(t, server.URL(), answers(picture))
	server.Kill()
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(50*time.Millisecond, func() { cancel(queue.ErrStopping) })
	defer timer.Stop()
	if _, again := pause(b.process(ctx)); !again {
		t.Error("the task is not handed back")
	}
}

func TestCancellingAJobInterruptsItsCall(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		started := make(chan struct{})
		b := newBenchOn(t, url, answers(func(ctx context.Context) (imagegen.Drawing, error) {
			close(started)
			<-ctx.Done()
			return imagegen.Drawing{}, &imagegen.CallError{
				Outcome: imagegen.OutcomeCancelled, Billed: imagegen.BilledUnknown, Transient: true,
				Kind: imagegen.KindUpstreamError, Message: "cancelled", Err: context.Cause(ctx),
			}
		}))
		done := make(chan error, 1)
		go func() { done <- b.process(context.Background()) }()
		<-started
		if end, err := b.store.Cancel(t.Context(), b.task.Job, nil, false); err != nil || end.Status != job.StatusCancelled {
			t.Fatalf("end = %v, %v", end, err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the task ended with %v, want none", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the call goes on")
		}
		j := b.job()
		if j.Status != job.StatusCancelled || len(j.Calls) != 1 || j.Calls[0].Outcome != job.CallCancelled || j.Calls[0].Billed != imagegen.BilledUnknown {
			t.Errorf("job = %+v", j)
		}
		if err := b.process(t.Context()); err != nil {
			t.Errorf("the task of a cancelled job ended with %v", err)
		}
	})
}
