package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
)

const (
	// maxCopies is how often a picture that is bought is tried to be copied before its upstream's own URL is handed out:
	// with the pauses between, this takes some minutes.
	maxCopies = 10
	// firstCopyPause is the pause after the first try, which doubles up to half a minute.
	firstCopyPause = time.Second
)

// The outcomes of copies, for the metric.
const (
	copyKept    = "kept"
	copyFailed  = "failed"  // it is tried again
	copyRefused = "refused" // what the upstream gave is no picture that may be handed out
	copyPassed  = "passed_through"
)

// Keeper makes drawn pictures the gateway's own. imagestore.Copier is one.
type Keeper interface {
	// Keeps reports whether the picture is to be kept; one that is not is handed out where it is.
	Keeps(d imagegen.Drawing) bool
	// Copy keeps the picture under a name that begins with stem. Its errors are *imagestore.CopyError.
	Copy(ctx context.Context, jobID, stem string, d imagegen.Drawing, format string, quality int) (imagestore.Copied, error)
	// Discard deletes a picture that was kept and that nobody wants.
	Discard(ctx context.Context, jobID, name string) error
}

// permanent reports whether a copy that failed cannot succeed.
func permanent(err error) bool {
	e, ok := errors.AsType[*imagestore.CopyError](err)
	return ok && e.Permanent
}

// saysStatus reports whether a copy failed as the picture's server answered so.
func saysStatus(err error) bool {
	e, ok := errors.AsType[*imagestore.CopyError](err)
	return ok && e.Status != 0
}

// drawn records a picture that came, and keeps it where that is to be done. The call has ended by then: another may begin.
func (c *call) drawn(ctx context.Context, took time.Duration, d imagegen.Drawing) error {
	image := imagegen.Image{URL: d.URL, Seed: d.Seed, Width: d.Width, Height: d.Height, RevisedPrompt: d.RevisedPrompt}
	entry := c.ledger(took, job.CallOK, imagegen.BilledYes)
	if !c.cfg.Keeper.Keeps(d) {
		defer c.logCall(ctx, entry, nil, "", 0) // whoever waits, waits for the record
		return c.finish(ctx, job.Finish{Verdict: job.FinishDone, Image: &image, Call: entry})
	}
	c.logCall(ctx, entry, nil, "", 0)
	if d.URL == "" {
		c.errand.CallEnded()
		return c.keepBytes(ctx, d, image, entry)
	}
	if err := c.finish(ctx, job.Finish{Verdict: job.FinishBought, Image: &image, Call: entry}); err != nil {
		return err
	}
	c.errand.CallEnded()
	return c.copyBought(ctx, image, 0)
}

// keepBytes stores a picture that is nowhere but here, until it is stored, nobody wants it any more, or the process has no
// time left.
func (c *call) keepBytes(ctx context.Context, d imagegen.Drawing, image imagegen.Image, entry *job.Call) error {
	recording, stopRecording := c.recording(ctx)
	defer stopRecording()
	keeping, stop := c.interruptible(recording, nil)
	var refusal error
	err := c.insist(keeping, "keep", func(ctx context.Context) error {
		err := c.keep(ctx, d, &image)
		if err != nil && permanent(err) {
			refusal = err
			return nil
		}
		return err
	})
	stop()
	switch {
	case errors.Is(context.Cause(keeping), errJobCancelled):
		return c.unwanted(ctx, image, entry)
	case err != nil:
		// It was paid for and is lost: the ledger tells.
		if err := c.finish(ctx, job.Finish{Verdict: job.FinishRetry, Class: c.begun.Class, Call: entry}); err != nil {
			return err
		}
		return err
	case refusal != nil:
		return c.unusable(ctx, refusal, entry)
	}
	return c.kept(ctx, image, entry)
}

// copyBought copies a picture that is bought, after so many tries that failed.
func (c *call) copyBought(ctx context.Context, image imagegen.Image, tries int) error {
	defer c.marks.hold(c.mark())()
	calling, stop := c.interruptible(ctx, nil)
	there := image
	err := c.keep(calling, imagegen.Drawing{URL: image.URL}, &image)
	stop()
	switch {
	case errors.Is(context.Cause(calling), errJobCancelled):
		return c.unwanted(ctx, image, nil)
	case err == nil:
		return c.kept(ctx, image, nil)
	case errors.Is(err, netguard.ErrAddress):
		return c.pass(ctx, there, fmt.Errorf("set ALLOW_PRIVATE_ADDRESSES to let it be copied: %w", err))
	case permanent(err):
		return c.unusable(ctx, err, nil)
	case ctx.Err() != nil:
		if err := c.finish(ctx, job.Finish{Verdict: job.FinishRecopy}); err != nil {
			return err
		}
		return &queue.RetryError{Err: queue.ErrStopping}
	case tries+1 >= maxCopies && saysStatus(err): // it is not at its address, so that is worth nothing
		return c.unusable(ctx, err, nil)
	case tries+1 >= maxCopies:
		return c.pass(ctx, there, err)
	}
	if err := c.finish(ctx, job.Finish{Verdict: job.FinishRecopy}); err != nil {
		return err
	}
	return &queue.RetryError{After: backoff(firstCopyPause, tries+1, 0), Err: err}
}

// pass hands a picture out where its upstream put it, as it cannot be copied.
func (c *call) pass(ctx context.Context, image imagegen.Image, why error) error {
	c.metrics.PictureCopied(copyPassed, 0)
	c.log.ErrorContext(ctx, "picture not copied: the upstream's own address is handed out", slog.Any("error", why))
	return c.finish(ctx, job.Finish{Verdict: job.FinishDone, Image: &image})
}

// kept records a picture that was stored, which goes again where its job does not want it any more.
func (c *call) kept(ctx context.Context, image imagegen.Image, entry *job.Call) error {
	end, err := c.conclude(ctx, job.Finish{Verdict: job.FinishDone, Image: &image, Call: entry})
	if err == nil && end.Status == "" {
		c.discard(ctx, image)
	}
	return err
}

// unwanted ends the errand of a picture whose job was cancelled or deleted while it was stored.
func (c *call) unwanted(ctx context.Context, image imagegen.Image, entry *job.Call) error {
	c.discard(ctx, image)
	if entry == nil {
		return nil
	}
	return c.finish(ctx, job.Finish{Verdict: job.FinishRetry, Class: c.begun.Class, Call: entry}) // for the ledger
}

func (c *call) discard(ctx context.Context, image imagegen.Image) {
	if image.File == "" {
		return
	}
	ctx, stop := c.recording(ctx)
	defer stop()
	if err := c.cfg.Keeper.Discard(ctx, string(c.task.Job), image.File); err != nil {
		c.log.WarnContext(ctx, "a picture that nobody wants was not deleted; the sweep does it", slog.Any("error", err))
	}
}

// keep makes the picture the gateway's own.
func (c *call) keep(ctx context.Context, d imagegen.Drawing, image *imagegen.Image) error {
	began := time.Now()
	if c.stem == "" {
		c.stem = imagestore.NewStem()
	}
	kept, err := c.cfg.Keeper.Copy(ctx, string(c.task.Job), c.stem, d, c.begun.Spec.OutputFormat, c.begun.Spec.OutputCompression)
	switch took := time.Since(began); {
	case err == nil:
		c.metrics.PictureCopied(copyKept, took)
		c.log.InfoContext(ctx, "picture kept", slog.String("file", kept.Name), slog.Int64("duration_ms", took.Milliseconds()))
	case permanent(err):
		c.metrics.PictureCopied(copyRefused, took)
	default:
		c.metrics.PictureCopied(copyFailed, took)
		c.log.WarnContext(ctx, "picture not copied", slog.Any("error", err))
	}
	if err != nil {
		return err
	}
	image.File, image.URL = kept.Name, c.begun.BaseURL()+"/v1/files/"+kept.Name
	if kept.Width > 0 && kept.Height > 0 {
		image.Width, image.Height = kept.Width, kept.Height
	}
	return nil
}

// unusable fails a picture that was paid for and cannot be handed out.
func (c *call) unusable(ctx context.Context, cause error, entry *job.Call) error {
	c.log.ErrorContext(ctx, "what the upstream gave cannot be handed out", slog.Any("error", cause))
	e := &imagegen.Error{
		Kind: imagegen.KindUpstreamError, Message: "the image service gave a picture that cannot be fetched or read",
	}
	if err := c.finish(ctx, job.Finish{Verdict: job.FinishFailed, Error: e, Call: entry}); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", queue.ErrArchive, e.Kind)
}
