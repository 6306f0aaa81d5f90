package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
)

// next is what becomes of a picture after a call that failed.
type next string

const (
	nextNothing  next = ""          // it fails
	nextAttempt  next = "retry"     // it is asked for again after a pause
	nextWorker   next = "hand back" // another worker may ask for it at once
	nextKey      next = "next key"  // it is asked for again at once: the key was refused, not the picture
	nextUpstream next = "next upstream"
)

// after decides what becomes of the picture.
func (c *call) after(ctx context.Context, e *imagegen.CallError) next {
	switch {
	case e.Billed == imagegen.BilledUnknown && !c.rules.RepeatAmbiguous, c.cancelled:
		return nextNothing
	case e.Outcome == imagegen.OutcomeCancelled && errors.Is(context.Cause(ctx), queue.ErrStopping):
		return nextWorker
	case e.Outcome == imagegen.OutcomeAuth, e.Outcome == imagegen.OutcomeQuota:
		return nextKey
	case e.Elsewhere(), e.Transient && c.begun.Counted >= c.cfg.MaxAttempts:
		if len(c.others()) > 0 {
			return nextUpstream
		}
		return nextNothing
	case !e.Transient:
		return nextNothing
	}
	return nextAttempt
}

// failed records a call that brought no picture, and says what becomes of the task.
func (c *call) failed(ctx context.Context, took time.Duration, e *imagegen.CallError) error {
	entry := c.ledger(took, ledgerOutcome(e), e.Billed)
	what, pause := c.after(ctx, e), time.Duration(0)
	f := job.Finish{Verdict: job.FinishRetry, Class: c.begun.Class, Call: entry, Free: what == nextKey}
	switch what {
	case nextNothing:
		f.Verdict, f.Error = job.FinishFailed, c.finalError(e)
	case nextAttempt:
		pause = backoff(c.cfg.RetryBaseDelay, c.begun.Counted, e.RetryAfter)
	case nextWorker, nextKey, nextUpstream:
	}
	c.logCall(ctx, entry, e, string(what), pause)
	if err := c.finish(ctx, f); err != nil {
		return err
	}
	switch what {
	case nextAttempt:
		c.metrics.PictureRetried(c.upstream, string(e.Outcome))
		return &queue.RetryError{After: pause, Err: e}
	case nextWorker:
		c.metrics.PictureRetried(c.upstream, string(e.Outcome))
		return &queue.RetryError{Err: queue.ErrStopping}
	case nextKey:
		return errNextKey
	case nextUpstream:
		return c.leave(ctx, c.finalError(e), e.Elsewhere())
	case nextNothing:
	}
	if c.cancelled {
		return nil
	}
	return fmt.Errorf("%w: %s", queue.ErrArchive, f.Error.Kind)
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

// finalError is what the client is told of the call that was the last.
func (c *call) finalError(e *imagegen.CallError) *imagegen.Error {
	if e.Billed == imagegen.BilledUnknown && !c.rules.RepeatAmbiguous {
		return errAmbiguous
	}
	return &imagegen.Error{Kind: e.Kind, Message: e.Message}
}
