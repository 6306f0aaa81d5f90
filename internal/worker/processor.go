package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream"
)

// Records is the job record as a worker needs it.
type Records interface {
	Start(ctx context.Context, t job.Task, callID, upstreamName string, o job.StartOptions) (job.Start, error)
	NotMade(ctx context.Context, t job.Task, callID, upstreamName string, b job.Start) error
	Finish(ctx context.Context, t job.Task, callID string, f job.Finish) (job.Ending, error)
	Move(ctx context.Context, t job.Task, m job.Move) (job.Moved, error)
	Progress(ctx context.Context, m job.Mark, done float64) error
	Renew(ctx context.Context, marks []job.Mark, ttl time.Duration) ([]bool, error)
	Status(ctx context.Context, id job.ID) (job.Status, error)
}

// Ends tells when jobs are cancelled that this process is working on. job.Watcher is one.
type Ends interface {
	WatchSince(id job.ID, since time.Time) *job.Watch
}

// Queue takes the errands that follow a call.
type Queue interface {
	Enqueue(ctx context.Context, tasks ...job.Task) error
	Served(ctx context.Context) (queue.Served, error)
}

// Metrics is told what happens.
type Metrics interface {
	QueueWait(lane string, d time.Duration)
	AttemptStarted(name string)
	AttemptDone(name, outcome string, d time.Duration)
	PictureRetried(name, outcome string)
	PictureMoved(from, to string)
	PictureCopied(outcome string, d time.Duration)
	JobFinished(status string, d time.Duration)
	Panicked(where string)
}

// Upstream is where pictures are drawn.
type Upstream struct {
	Pool            *upstream.Pool
	RepeatAmbiguous bool // repeat calls that may have been paid for
}

// Config holds a worker's rules.
type Config struct {
	Upstreams      map[string]Upstream // by name
	MaxAttempts    int                 // upstream calls for one picture, the first included, at each upstream
	RetryBaseDelay time.Duration       // doubles with each attempt
	// Keeper makes drawn pictures the gateway's own.
	Keeper Keeper
}

// Processor draws the pictures of tasks. It is safe for concurrent use.
type Processor struct {
	records Records
	ends    Ends
	queue   Queue
	cfg     Config
	metrics Metrics
	log     *slog.Logger
	marks   *marks
}

// NewProcessor returns a processor; [Processor.KeepMarks] must run beside it.
func NewProcessor(r Records, e Ends, q Queue, cfg Config, m Metrics, log *slog.Logger) *Processor {
	return &Processor{records: r, ends: e, queue: q, cfg: cfg, metrics: m, log: log, marks: newMarks(r, log)}
}

// KeepMarks renews the owner marks of calls under way until ctx ends, which must be after the last call.
func (p *Processor) KeepMarks(ctx context.Context) { p.marks.run(ctx) }

var (
	errOwned = errors.New("another call draws this picture")
	errStale = errors.New("the owner mark is too old to send on it")
	errHeld  = errors.New("the upstream is spared calls")
	// errJobCancelled is the cause of a call's context whose job was cancelled.
	errJobCancelled = errors.New("the job was cancelled")
	// errNextKey says that the picture may be asked for at once, with another key.
	errNextKey = errors.New("the key was refused")
)

// What clients are told where no call says it.
var (
	errAmbiguous = &imagegen.Error{
		Kind:    imagegen.KindUpstreamAmbiguous,
		Message: "the image service did not say whether it drew the picture; it was not asked again, as it may have been paid for",
	}
	errSpent = &imagegen.Error{
		Kind: imagegen.KindUpstreamError, Message: "the image service did not deliver; all attempts are spent",
	}
	errNoKey = &imagegen.Error{
		Kind: imagegen.KindUpstreamAccount, Message: "the image service is not available to this gateway at the moment",
	}
)

// Process draws the picture of the errand's task; it is a [queue.Handler].
func (p *Processor) Process(ctx context.Context, e queue.Errand) error {
	name := e.Upstream()
	u, ok := p.cfg.Upstreams[name]
	if !ok {
		return fmt.Errorf("%w: no upstream serves queue %s", queue.ErrArchive, e.Queue)
	}
	log := p.log.With(slog.String("job_id", string(e.Job)), slog.Int("image", e.Image))
	// From before the record is asked: a job that is cancelled after that is heard of.
	var id string
	since := time.Now()
	if e.Begun != nil {
		id, since = e.Begun.CallID, e.Begun.Asked
	} else {
		id = rand.Text()
	}
	watch := p.ends.WatchSince(e.Job, since)
	defer watch.Stop()
	for range u.Pool.Keys {
		c := &call{Processor: p, errand: e, task: e.Task, id: id, upstream: name, rules: u, watch: watch, log: log}
		if err := c.attempt(ctx); !errors.Is(err, errNextKey) {
			return err
		}
		id, e.Begun = rand.Text(), nil
	}
	// Each of them was refused. What is noted of that may not have arrived, so it is not asked again.
	c := &call{Processor: p, errand: e, task: e.Task, id: id, upstream: name, rules: u, watch: watch, log: log}
	return c.answer(ctx, nil)
}

// Begin returns the rules of calls that may begin as their tasks are taken, by upstream: see [queue.Begin].
func (p *Processor) Begin() map[string]job.StartOptions {
	rules := make(map[string]job.StartOptions)
	for name, u := range p.cfg.Upstreams {
		if u.RepeatAmbiguous {
			rules[name] = p.startOptions(u)
		}
	}
	return rules
}

func (p *Processor) startOptions(u Upstream) job.StartOptions {
	return job.StartOptions{MarkTTL: markTTL, MaxAttempts: p.cfg.MaxAttempts, RepeatAmbiguous: u.RepeatAmbiguous}
}
