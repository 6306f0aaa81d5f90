package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
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

// Records is the job record as a worker needs it.
type Records interface {
	Start(ctx context.Context, t job.Task, callID, upstream string, o job.StartOptions) (job.Start, error)
	Finish(ctx context.Context, t job.Task, callID string, f job.Finish) (job.Ending, error)
	Renew(ctx context.Context, marks []job.Mark, ttl time.Duration) ([]bool, error)
	Status(ctx context.Context, id job.ID) (job.Status, error)
}

// Ends tells when jobs end that this process is working on. job.Watcher is one.
type Ends interface{ Watch(id job.ID) *job.Watch }

// Queue takes the errands that follow the end of a job.
type Queue interface {
	Enqueue(ctx context.Context, tasks ...job.Task) error
}

// Generator draws one picture at an upstream. Its errors are *imagegen.CallError.
type Generator interface {
	Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error)
}

// Metrics is told what happens.
type Metrics interface {
	QueueWait(lane string, d time.Duration)
	AttemptStarted(upstream string)
	AttemptDone(upstream, outcome string, d time.Duration)
	PictureRetried(upstream, outcome string)
	JobFinished(status string, d time.Duration)
	Panicked(where string)
}

// Config holds a worker's rules.
type Config struct {
	MaxAttempts     int           // upstream calls for one picture, the first included
	RetryBaseDelay  time.Duration // doubles with each attempt
	RepeatAmbiguous bool          // repeat calls that may have been paid for
}

// Processor draws the pictures of tasks. It is safe for concurrent use.
type Processor struct {
	records   Records
	ends      Ends
	queue     Queue
	upstreams map[string]Generator // by name
	cfg       Config
	metrics   Metrics
	log       *slog.Logger
	marks     *marks
}

// NewProcessor returns a processor; [Processor.KeepMarks] must run beside it.
func NewProcessor(r Records, e Ends, q Queue, upstreams map[string]Generator, cfg Config, m Metrics, log *slog.Logger) *Processor {
	return &Processor{
		records: r, ends: e, queue: q, upstreams: upstreams, cfg: cfg, metrics: m, log: log,
		marks: newMarks(r, log),
	}
}

// KeepMarks renews the owner marks of calls under way until ctx ends, which must be after the last call.
func (p *Processor) KeepMarks(ctx context.Context) { p.marks.run(ctx) }

// Process draws the task's picture; it is a [queue.Handler].
func (p *Processor) Process(ctx context.Context, t job.Task) error {
	c := &call{Processor: p, task: t, id: rand.Text()}
	c.log = p.log.With(slog.String("job_id", string(t.Job)), slog.Int("image", t.Image))
	upstream, ok := upstreamOf(t.Queue, p.upstreams)
	if !ok {
		return fmt.Errorf("%w: no upstream serves queue %s", queue.ErrArchive, t.Queue)
	}
	c.upstream = upstream
	// Before the record is asked: a job that is cancelled after that is heard of.
	c.watch = p.ends.Watch(t.Job)
	defer c.watch.Stop()
	asked, err := c.start(ctx)
	if err != nil {
		return err
	}
	switch c.begun.Verdict {
	case job.StartGone:
		return nil
	case job.StartOwned:
		return &queue.RetryError{After: c.begun.OwnedFor + time.Second, Err: errOwned}
	case job.StartSpent:
		return c.giveUp(ctx, &imagegen.Error{Kind: imagegen.KindUpstreamError, Message: "the image service did not deliver; all attempts are spent"})
	case job.StartAmbiguous:
		return c.giveUp(ctx, ambiguous)
	case job.StartGo:
	}
	return c.run(ctx, asked)
}

var (
	errOwned = errors.New("another call draws this picture")
	errStale = errors.New("the owner mark is too old to send on it")
	// errJobCancelled is the cause of a call's context whose job was cancelled.
	errJobCancelled = errors.New("the job was cancelled")
	ambiguous       = &imagegen.Error{
		Kind:    imagegen.KindUpstreamAmbiguous,
		Message: "the image service did not say whether it drew the picture; it was not asked again, as it may have been paid for",
	}
)

func upstreamOf(name string, upstreams map[string]Generator) (string, bool) {
	for u := range upstreams {
		for _, lane := range job.Lanes() {
			if job.QueueName(u, lane) == name {
				return u, true
			}
		}
	}
	return "", false
}

// call is one task being worked on.
type call struct {
	*Processor
	task     job.Task
	id       string // names the call in the record
	upstream string
	begun    job.Start
	watch    *job.Watch
	// cancelled says that the call was broken off because its job was cancelled.
	cancelled bool
	log       *slog.Logger
}

// start asks the record until it answers: a call that was opened unheard is found again by its id, so nothing is left
// behind. It returns when the question that was answered was asked.
func (c *call) start(ctx context.Context) (asked time.Time, err error) {
	o := job.StartOptions{MarkTTL: markTTL, MaxAttempts: c.cfg.MaxAttempts, RepeatAmbiguous: c.cfg.RepeatAmbiguous}
	err = c.insist(ctx, "start", func(ctx context.Context) error {
		asked = time.Now()
		var err error
		c.begun, err = c.records.Start(ctx, c.task, c.id, c.upstream, o)
		return err
	})
	return asked, err
}

// run makes the call that was opened and records its end.
func (c *call) run(ctx context.Context, asked time.Time) error {
	release := c.marks.hold(job.Mark{Task: c.task, CallID: c.id})
	defer release()
	if c.begun.Attempt == 1 {
		c.metrics.QueueWait(strings.TrimPrefix(c.task.Queue, c.upstream+"-"), c.begun.StartedAt.Sub(c.begun.CreatedAt))
	}
	if time.Since(asked) > markFresh {
		return c.record(ctx, 0, imagegen.Image{}, &imagegen.CallError{
			Outcome: imagegen.OutcomeCancelled, Billed: imagegen.BilledNo, Transient: true,
			Kind: imagegen.KindUpstreamError, Message: "the worker was suspended", Err: errStale,
		})
	}
	calling, stop := c.interruptible(ctx)
	c.metrics.AttemptStarted(c.upstream)
	began := time.Now()
	drawing, failure := c.generate(calling)
	image := imagegen.Image{
		URL: drawing.URL, Seed: drawing.Seed, Width: drawing.Width, Height: drawing.Height, RevisedPrompt: drawing.RevisedPrompt,
	}
	took := time.Since(began)
	c.cancelled = errors.Is(context.Cause(calling), errJobCancelled)
	stop()
	outcome := imagegen.OutcomeOK
	if failure != nil {
		outcome = failure.Outcome
	}
	c.metrics.AttemptDone(c.upstream, string(outcome), took)
	return c.record(ctx, took, image, failure)
}

// interruptible returns a context that also ends when the job is cancelled. stop waits for what watches it.
func (c *call) interruptible(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		var again <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
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
func (c *call) generate(ctx context.Context) (d imagegen.Drawing, failure *imagegen.CallError) {
	defer func() {
		if p := recover(); p != nil {
			c.metrics.Panicked("upstream " + c.upstream)
			c.log.ErrorContext(ctx, "upstream adapter panicked", slog.String("upstream", c.upstream), slog.Any("panic", p),
				slog.String("stack", string(debug.Stack())))
			failure = &imagegen.CallError{
				Outcome: imagegen.OutcomeMalformed, Billed: imagegen.BilledUnknown, Transient: true,
				Kind: imagegen.KindInternal, Message: "internal error", Err: fmt.Errorf("panic: %v", p),
			}
		}
	}()
	d, err := c.upstreams[c.upstream].Generate(ctx, c.begun.Spec.Order(c.task.Image))
	if err == nil {
		return d, nil
	}
	failure, ok := errors.AsType[*imagegen.CallError](err)
	if !ok {
		failure = &imagegen.CallError{
			Outcome: imagegen.OutcomeMalformed, Billed: imagegen.BilledUnknown, Transient: true,
			Kind: imagegen.KindInternal, Message: "internal error", Err: err,
		}
	}
	return d, failure
}

// record writes the end of the call, and says what becomes of the task.
func (c *call) record(ctx context.Context, took time.Duration, image imagegen.Image, failure *imagegen.CallError) error {
	f := job.Finish{Call: &job.Call{
		Image: c.task.Image, Attempt: c.begun.Attempt, Upstream: c.upstream, StartedAt: c.begun.StartedAt,
		Duration: took, Outcome: job.CallOK, Billed: imagegen.BilledYes,
	}}
	var again *queue.RetryError
	if failure == nil {
		f.Verdict, f.Image = job.FinishDone, &image
	} else {
		f.Call.Outcome, f.Call.Billed = ledgerOutcome(failure), failure.Billed
		again = c.retry(ctx, failure)
		f.Verdict, f.Class = job.FinishRetry, c.begun.Class
		if again == nil {
			f.Verdict, f.Error = job.FinishFailed, c.finalError(failure)
		}
	}
	c.logCall(ctx, f, failure, again)
	if err := c.finish(ctx, f); err != nil {
		return err
	}
	if again != nil {
		c.metrics.PictureRetried(c.upstream, string(failure.Outcome))
		return again
	}
	if failure != nil && !c.cancelled {
		return fmt.Errorf("%w: %s", queue.ErrArchive, f.Error.Kind)
	}
	return nil
}

func ledgerOutcome(e *imagegen.CallError) job.CallOutcome {
	switch e.Outcome {
	case imagegen.OutcomeCancelled:
		return job.CallCancelled
	case imagegen.OutcomeNetwork, imagegen.OutcomeTimeout:
		if e.Billed == imagegen.BilledNo {
			return job.CallFailed
		}
		return job.CallUnknown
	case imagegen.OutcomeOK:
		return job.CallOK
	case imagegen.OutcomeRefused, imagegen.OutcomeAuth, imagegen.OutcomeQuota, imagegen.OutcomeRateLimited,
		imagegen.OutcomeStatus, imagegen.OutcomeMalformed:
		if e.Billed == imagegen.BilledNo {
			return job.CallRefused
		}
		return job.CallUnknown
	}
	return job.CallUnknown
}

// retry decides whether the picture is asked for once more, and when; nil: it is not.
func (c *call) retry(ctx context.Context, e *imagegen.CallError) *queue.RetryError {
	switch {
	case e.Billed == imagegen.BilledUnknown && !c.cfg.RepeatAmbiguous, c.cancelled:
		return nil
	case e.Outcome == imagegen.OutcomeCancelled && errors.Is(context.Cause(ctx), queue.ErrStopping):
		return &queue.RetryError{Err: queue.ErrStopping} // handed back: another worker may take it at once
	case !e.Transient || c.begun.Attempt >= c.cfg.MaxAttempts:
		return nil
	}
	return &queue.RetryError{After: backoff(c.cfg.RetryBaseDelay, c.begun.Attempt, e.RetryAfter), Err: e}
}

// finalError is what the client is told of the call that was the last.
func (c *call) finalError(e *imagegen.CallError) *imagegen.Error {
	if e.Billed == imagegen.BilledUnknown && !c.cfg.RepeatAmbiguous {
		return ambiguous
	}
	return &imagegen.Error{Kind: e.Kind, Message: e.Message}
}

// giveUp fails a picture without a call.
func (c *call) giveUp(ctx context.Context, e *imagegen.Error) error {
	c.log.WarnContext(ctx, "picture given up", slog.String("kind", string(e.Kind)))
	if err := c.finish(ctx, job.Finish{Verdict: job.FinishFailed, Error: e}); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", queue.ErrArchive, e.Kind)
}

// finish writes to the record until it is written, or the process has no time left.
func (c *call) finish(ctx context.Context, f job.Finish) error {
	recording, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(recordGrace, func() { cancel(queue.ErrStopping) })
		context.AfterFunc(recording, func() { timer.Stop() })
	})
	defer stop()
	var end job.Ending
	err := c.insist(recording, "finish", func(ctx context.Context) error {
		var err error
		end, err = c.records.Finish(ctx, c.task, c.id, f)
		return err
	})
	if err != nil {
		return err
	}
	if end.Status.Terminal() {
		c.metrics.JobFinished(string(end.Status), time.Since(c.begun.CreatedAt))
	}
	if end.Webhook {
		if err := c.queue.Enqueue(recording, job.WebhookTask(c.task.Job)); err != nil {
			c.log.WarnContext(ctx, "queue a webhook; the sweeper will", slog.Any("error", err))
		}
	}
	return nil
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
func (c *call) logCall(ctx context.Context, f job.Finish, e *imagegen.CallError, again *queue.RetryError) {
	attrs := []slog.Attr{
		slog.String("model", c.begun.Spec.Model), slog.String("upstream", c.upstream), slog.Int("attempt", f.Call.Attempt),
		slog.String("outcome", string(f.Call.Outcome)), slog.String("billed", string(f.Call.Billed)),
		slog.Int64("duration_ms", f.Call.Duration.Milliseconds()),
	}
	level := slog.LevelInfo
	if e != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("class", string(e.Outcome)), slog.String("kind", string(e.Kind)), slog.Any("error", e))
		if e.Outcome == imagegen.OutcomeAuth || e.Outcome == imagegen.OutcomeQuota {
			level = slog.LevelError
		}
	}
	if again != nil {
		attrs = append(attrs, slog.Int64("retry_after_ms", again.After.Milliseconds()))
	}
	c.log.LogAttrs(ctx, level, "upstream call", attrs...)
}
