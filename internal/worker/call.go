package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream"
)

const (
	// markTTL is how long a picture stays its worker's without a renewal; renewInterval leaves room for a stall of Redis
	// of 45 s between two renewals.
	markTTL       = 60 * time.Second
	renewInterval = 5 * time.Second
	// markFresh is how old the mark may be when the call is sent: a process that slept since may have lost it.
	markFresh = 20 * time.Second
	// recordGrace is how long a result may still be recorded once the process is out of time.
	recordGrace = 4 * time.Second
	// lookAgain is the pause after a look at a job's status that failed.
	lookAgain = time.Second
	// recordPauseMin and recordPauseMax are the pauses between tries to reach the record.
	recordPauseMin = 50 * time.Millisecond
	recordPauseMax = 2 * time.Second
)

// call is one try to get a picture.
type call struct {
	*Processor
	errand   queue.Errand
	task     job.Task
	id       string // names the call in the record
	upstream string
	rules    Upstream
	begun    job.Start
	watch    *job.Watch
	// cancelled says that the call was broken off because its job was cancelled.
	cancelled bool
	stem      string // of the name under which the picture is kept
	log       *slog.Logger
}

// attempt takes a key's turn, opens the call in the record, and makes it.
func (c *call) attempt(ctx context.Context) error {
	if c.errand.Diverted {
		return c.answer(ctx, nil)
	}
	turn, ok := c.rules.Pool.Turn(ctx, c.errand.Probe)
	if !ok {
		if err := c.notMade(ctx); err != nil {
			return err
		}
		return c.answer(ctx, nil)
	}
	defer turn.End()
	return c.answer(ctx, turn)
}

// answer asks the record what to do with the picture, and does it. Without a turn no call is made.
func (c *call) answer(ctx context.Context, turn *upstream.Turn) error {
	asked, err := c.start(ctx, turn == nil)
	if err != nil {
		return err
	}
	switch c.begun.Verdict {
	case job.StartOwned:
		return &queue.RetryError{After: c.begun.OwnedFor + time.Second, Err: errOwned}
	case job.StartGo:
		if gone, err := c.cancelledMeanwhile(ctx); gone || err != nil {
			return errors.Join(err, c.notMade(ctx))
		}
		return c.run(ctx, asked, turn)
	case job.StartCopy:
		c.errand.CallEnded()
		return c.copyBought(ctx, c.begun.Bought, c.begun.Copies)
	case job.StartLook:
		if c.errand.Diverted {
			return c.divert(ctx)
		}
		c.log.WarnContext(ctx, "no key of the upstream may be used", slog.String("upstream", c.upstream))
		return c.leave(ctx, errNoKey, true)
	case job.StartSpent:
		return c.leave(ctx, errSpent, false)
	case job.StartAmbiguous:
		return c.giveUp(ctx, errAmbiguous)
	case job.StartGone:
	}
	return nil
}

// cancelledMeanwhile reports whether the job was cancelled between the beginning of its call, with its task, and now.
func (c *call) cancelledMeanwhile(ctx context.Context) (bool, error) {
	if c.errand.Begun == nil {
		return false, nil
	}
	select {
	case <-c.watch.C:
	default:
		return false, nil
	}
	var status job.Status
	err := c.insist(ctx, "look", func(ctx context.Context) (err error) {
		status, err = c.records.Status(ctx, c.task.Job)
		return err
	})
	return status == job.StatusCancelled || status == "", err
}

// notMade takes back a call that began with the task, and is not made.
func (c *call) notMade(ctx context.Context) error {
	b := c.errand.Begun
	if b == nil {
		return nil
	}
	c.errand.Begun = nil
	recording, stop := c.recording(ctx)
	defer stop()
	return c.insist(recording, "take back", func(ctx context.Context) error {
		return c.records.NotMade(ctx, c.task, c.id, c.upstream, b.Start)
	})
}

// start asks the record until it answers: a call that was opened unheard is found again by its id, so nothing is left
// behind. It returns when the question that was answered was asked. A call may have begun with its task.
func (c *call) start(ctx context.Context, look bool) (asked time.Time, err error) {
	if b := c.errand.Begun; b != nil {
		c.begun = b.Start
		return b.Asked, nil
	}
	o := c.startOptions(c.rules)
	o.Look = look
	err = c.insist(ctx, "start", func(ctx context.Context) error {
		asked = time.Now()
		var err error
		c.begun, err = c.records.Start(ctx, c.task, c.id, c.upstream, o)
		return err
	})
	return asked, err
}

// run makes the call that was opened and records its end.
func (c *call) run(ctx context.Context, asked time.Time, turn *upstream.Turn) error {
	defer c.marks.hold(c.mark())()
	if c.begun.Attempt == 1 {
		c.metrics.QueueWait(string(c.task.Lane()), c.begun.StartedAt.Sub(c.begun.CreatedAt))
	}
	if time.Since(asked) > markFresh {
		return c.failed(ctx, 0, &imagegen.CallError{
			Outcome: imagegen.OutcomeCancelled, Billed: imagegen.BilledNo, Transient: true,
			Kind: imagegen.KindUpstreamError, Message: "the worker was suspended", Err: errStale,
		})
	}
	told := make(chan float64, 1)
	calling, stop := c.interruptible(ctx, told)
	c.metrics.AttemptStarted(c.upstream)
	began := time.Now()
	drawing, failure := c.generate(calling, turn, told)
	took := time.Since(began)
	c.cancelled = errors.Is(context.Cause(calling), errJobCancelled)
	stop()
	outcome := imagegen.OutcomeOK
	if failure != nil {
		outcome = failure.Outcome
	}
	c.metrics.AttemptDone(c.upstream, string(outcome), took)
	if failure != nil {
		return c.failed(ctx, took, failure)
	}
	return c.drawn(ctx, took, drawing)
}

func (c *call) mark() job.Mark { return job.Mark{Task: c.task, CallID: c.id} }

// interruptible returns a context that also ends when the job is cancelled, and notes what is told of the call's progress.
// stop waits for what does that.
func (c *call) interruptible(ctx context.Context, told <-chan float64) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		var again <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case done := <-told:
				if err := c.records.Progress(ctx, c.mark(), done); err != nil {
					c.log.DebugContext(ctx, "progress not noted", slog.Any("error", err))
				}
				continue
			case <-c.watch.C:
			case <-again:
			}
			again = nil
			// A signal may be stale, or tell of a result that came from elsewhere; that call is paid for either way.
			switch status, err := c.records.Status(ctx, c.task.Job); {
			case err != nil:
				again = time.After(lookAgain)
			case status == job.StatusCancelled, status == "": // or cancelled and forgotten
				cancel(errJobCancelled)
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
	}
}

// generate calls the upstream. A panic in an adapter is a failed attempt.
func (c *call) generate(ctx context.Context, turn *upstream.Turn, told chan float64) (d imagegen.Drawing, failure *imagegen.CallError) {
	defer func() {
		if p := recover(); p != nil {
			c.metrics.Panicked("upstream " + c.upstream)
			c.log.ErrorContext(ctx, "upstream adapter panicked", slog.String("upstream", c.upstream), slog.Any("panic", p),
				slog.String("stack", string(debug.Stack())))
			failure = adapterFailed(fmt.Errorf("panic: %v", p))
		}
	}()
	order := c.begun.Spec.Order(c.task.Image)
	order.Progress = func(done float64) {
		select {
		case <-told: // the last one was not noted yet
		default:
		}
		told <- min(max(done, 0), 1) // there is room: nobody else tells
	}
	d, err := turn.Generate(ctx, order)
	if err == nil {
		return d, nil
	}
	failure, ok := errors.AsType[*imagegen.CallError](err)
	if !ok {
		failure = adapterFailed(err)
	}
	return d, failure
}

func adapterFailed(err error) *imagegen.CallError {
	return &imagegen.CallError{
		Outcome: imagegen.OutcomeMalformed, Billed: imagegen.BilledUnknown, Transient: true,
		Kind: imagegen.KindInternal, Message: "internal error", Err: err,
	}
}

// ledger returns the entry of a call that was made.
func (c *call) ledger(took time.Duration, outcome job.CallOutcome, billed imagegen.Billed) *job.Call {
	return &job.Call{
		Image: c.task.Image, Attempt: c.begun.Attempt, Upstream: c.upstream, StartedAt: c.begun.StartedAt,
		Duration: took, Outcome: outcome, Billed: billed,
	}
}

// giveUp fails a picture without a call.
func (c *call) giveUp(ctx context.Context, e *imagegen.Error) error {
	c.log.WarnContext(ctx, "picture given up", slog.String("kind", string(e.Kind)))
	if err := c.finish(ctx, job.Finish{Verdict: job.FinishFailed, Error: e}); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", queue.ErrArchive, e.Kind)
}

// finish is conclude for those who need not know what became of the job.
func (c *call) finish(ctx context.Context, f job.Finish) error {
	_, err := c.conclude(ctx, f)
	return err
}

// conclude writes to the record until it is written, or the process has no time left.
func (c *call) conclude(ctx context.Context, f job.Finish) (end job.Ending, err error) {
	recording, stop := c.recording(ctx)
	defer stop()
	err = c.insist(recording, "finish", func(ctx context.Context) error {
		var err error
		end, err = c.records.Finish(ctx, c.task, c.id, f)
		return err
	})
	if err != nil {
		return end, err
	}
	if end.Status.Terminal() {
		c.metrics.JobFinished(string(end.Status), time.Since(c.begun.CreatedAt))
	}
	if end.Webhook {
		if err := c.queue.Enqueue(recording, job.WebhookTask(c.task.Job)); err != nil {
			c.log.WarnContext(ctx, "queue a webhook; the sweeper will", slog.Any("error", err))
		}
	}
	return end, nil
}

// recording returns a context in which something may still be written down a little after ctx has ended.
func (c *call) recording(ctx context.Context) (_ context.Context, stop func()) {
	recording, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(recordGrace, func() { cancel(queue.ErrStopping) })
		context.AfterFunc(recording, func() { timer.Stop() })
	})
	return recording, func() {
		release()
		cancel(nil)
	}
}

// insist repeats a question to the record until it is answered or ctx ends.
func (c *call) insist(ctx context.Context, what string, ask func(context.Context) error) error {
	for pause := recordPauseMin; ; pause = min(2*pause, recordPauseMax) {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			c.log.ErrorContext(ctx, "job record not reached before the end", slog.String("step", what), slog.Any("error", err))
			return &queue.RetryError{Err: fmt.Errorf("%s: %w", what, err)}
		}
		c.log.WarnContext(ctx, "job record not reached; trying again", slog.String("step", what), slog.Any("error", err))
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// logCall writes the one line of an attempt.
func (c *call) logCall(ctx context.Context, entry *job.Call, e *imagegen.CallError, next string, after time.Duration) {
	attrs := []slog.Attr{
		slog.String("model", c.begun.Spec.Model), slog.String("upstream", c.upstream), slog.Int("attempt", entry.Attempt),
		slog.String("outcome", string(entry.Outcome)), slog.String("billed", string(entry.Billed)),
		slog.Int64("duration_ms", entry.Duration.Milliseconds()),
	}
	level := slog.LevelInfo
	if e != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("class", string(e.Outcome)), slog.String("kind", string(e.Kind)), slog.Any("error", e))
		if e.Outcome == imagegen.OutcomeAuth || e.Outcome == imagegen.OutcomeQuota {
			level = slog.LevelError
		}
	}
	if next != "" {
		attrs = append(attrs, slog.String("next", next))
	}
	if after > 0 {
		attrs = append(attrs, slog.Int64("retry_after_ms", after.Milliseconds()))
	}
	c.log.LogAttrs(ctx, level, "upstream call", attrs...)
}
