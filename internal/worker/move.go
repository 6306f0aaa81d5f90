package worker

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
)

// others returns the model's other upstreams in the order in which they are tried: those behind the present one, then
// those before it, and those that are spared calls at the moment last.
func (c *call) others() []string {
	all := c.begun.Spec.Upstreams
	i := slices.Index(all, c.upstream) // -1 where the catalogue changed meanwhile: then all of them
	behind, before := all[i+1:], all[:max(i, 0)]
	return append(c.open(behind, before), c.paused(behind, before)...)
}

func (c *call) open(lists ...[]string) []string {
	return slices.DeleteFunc(slices.Concat(lists...), c.isPaused)
}

func (c *call) paused(lists ...[]string) []string {
	return slices.DeleteFunc(slices.Concat(lists...), func(u string) bool { return !c.isPaused(u) })
}

// isPaused reports whether an upstream is spared calls. One whose pause is over is not: the next picture that comes tries it.
// Other workers may serve one that this one does not know.
func (p *Processor) isPaused(name string) bool {
	u, known := p.cfg.Upstreams[name]
	return known && time.Now().Before(u.Pool.PausedUntil())
}

// leave sends the picture to another upstream; where none is left that may be asked, it fails with why. refused says that
// the present one will not draw it.
func (c *call) leave(ctx context.Context, why *imagegen.Error, refused bool) error {
	moved, err := c.move(ctx, c.others(), refused)
	if err != nil || moved {
		return err
	}
	return c.giveUp(ctx, why)
}

// divert sends the picture to an upstream that takes calls, or lets it wait on in its queue.
func (c *call) divert(ctx context.Context) error {
	moved, err := c.move(ctx, c.open(c.others()), false)
	if err != nil || moved {
		return err
	}
	return &queue.RetryError{Err: errHeld}
}

// move reports whether there is nothing left to do with the task, as the picture is, or was, on its way elsewhere.
func (c *call) move(ctx context.Context, to []string, refused bool) (bool, error) {
	recording, stop := c.recording(ctx)
	defer stop()
	if to = c.served(recording, to); len(to) == 0 {
		return false, nil
	}
	// A call that is not to be repeated fails its picture: what comes here is free to be asked for elsewhere.
	m := job.Move{From: c.upstream, Refused: refused, Repeatable: true, To: to, MaxAttempts: c.cfg.MaxAttempts}
	var moved job.Moved
	err := c.insist(recording, "move", func(ctx context.Context) error {
		var err error
		moved, err = c.records.Move(ctx, c.task, m)
		return err
	})
	if err != nil || moved.None {
		return false, err
	}
	if !moved.OK {
		return true, nil
	}
	c.metrics.PictureMoved(c.upstream, moved.Task.Upstream())
	c.log.InfoContext(ctx, "picture goes to another upstream", slog.String("from", c.upstream), slog.String("to", moved.Task.Upstream()))
	if err := c.queue.Enqueue(recording, moved.Task); err != nil {
		c.log.WarnContext(ctx, "queue a picture for another upstream; the sweeper will", slog.Any("error", err))
	}
	return true, nil
}

// served returns those of the upstreams that some worker serves: a picture that is sent to another would wait for ever.
func (c *call) served(ctx context.Context, upstreams []string) []string {
	if !slices.ContainsFunc(upstreams, func(u string) bool { return !c.serves(u) }) {
		return upstreams
	}
	served, err := c.queue.Served(ctx)
	if err != nil {
		c.log.WarnContext(ctx, "not known which upstreams other workers serve", slog.Any("error", err))
	}
	return slices.DeleteFunc(slices.Clone(upstreams), func(u string) bool {
		return !c.serves(u) && !slices.Contains(served.Upstreams, u)
	})
}

func (c *call) serves(name string) bool { _, ok := c.cfg.Upstreams[name]; return ok }
