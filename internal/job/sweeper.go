package job

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

const (
	// SweepInterval is the pause between sweeps.
	SweepInterval = 30 * time.Second
	// sweepAge is how old a job must be before its tasks are looked for: whoever makes it has seconds to queue them.
	sweepAge = 30 * time.Second
	// leadTTL outlasts the interval, so that one process goes on leading, by little, so that a dead one is soon replaced.
	leadTTL    = SweepInterval + SweepInterval/2
	sweepChunk = 200
	// restMax bounds the pauses between the pages of a sweep: 500 of them, with 100,000 jobs, have to end before the next.
	restMax = 20 * time.Millisecond
)

// TaskFinder tells which tasks the queue no longer carries.
type TaskFinder interface {
	// Lost reports for each task, of a picture that nobody is drawing, whether no worker will get it soon: unknown,
	// archived, or taken by a worker whose lease is gone.
	Lost(ctx context.Context, tasks []Task) ([]bool, error)
	Enqueue(ctx context.Context, tasks ...Task) error
	Remove(ctx context.Context, tasks ...Task) error
	// ServedNames returns the upstreams that some worker serves; none where no worker says anything.
	ServedNames(ctx context.Context) ([]string, error)
}

// Sweeper finds unfinished pictures and webhooks whose task was lost, whoever lost it, and queues them anew. It also keeps
// the sets beside the records true: of pictures that wait, and of a key's jobs. Every worker runs one; one of them at a
// time sweeps.
type Sweeper struct {
	store *Store
	queue TaskFinder
	log   *slog.Logger
	self  string
	// deserted are the upstreams for which pictures wait and that no worker serves, by when that was first seen; after
	// patience they are rescued.
	deserted map[string]time.Time
	patience time.Duration
}

// NewSweeper returns a sweeper; it does nothing until [Sweeper.Run] or [Sweeper.Sweep].
func NewSweeper(store *Store, queue TaskFinder, log *slog.Logger) *Sweeper {
	return &Sweeper{store: store, queue: queue, log: log, self: rand.Text(), deserted: make(map[string]time.Time), patience: desertedAge}
}

// Run sweeps now and at every interval until ctx ends. It returns nil then.
func (s *Sweeper) Run(ctx context.Context) error {
	tick := time.NewTicker(SweepInterval)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx, sweepAge); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "sweep unfinished jobs", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sweep looks at every unfinished job older than age, if this process leads.
func (s *Sweeper) Sweep(ctx context.Context, age time.Duration) error {
	lead, err := leadScript.Run(ctx, s.store.client, []string{sweeperKey}, s.self, leadTTL.Milliseconds()).Int64Slice()
	if err != nil || len(lead) != 2 {
		return fmt.Errorf("ask who sweeps: %w", err)
	}
	if lead[0] != 1 {
		return nil
	}
	served, err := s.queue.ServedNames(ctx)
	if err != nil {
		return fmt.Errorf("ask what workers serve: %w", err)
	}
	maps.DeleteFunc(s.deserted, func(u string, _ time.Time) bool { return slices.Contains(served, u) })
	cutoff := lead[1] - age.Milliseconds()
	// Paged by rank, oldest first. Removals meanwhile can shift a job past a page border: the next sweep sees it.
	for start := int64(0); ; start += sweepChunk {
		began := time.Now()
		page, err := s.store.client.ZRangeWithScores(ctx, openKey, start, start+sweepChunk-1).Result()
		if err != nil {
			return fmt.Errorf("list unfinished jobs: %w", err)
		}
		var ids []ID
		for _, z := range page {
			if id, ok := z.Member.(string); ok && int64(z.Score) <= cutoff {
				ids = append(ids, ID(id))
			}
		}
		if err := s.sweepPage(ctx, ids, lead[1], served); err != nil {
			return err
		}
		if len(page) < sweepChunk || len(ids) < len(page) {
			break
		}
		if err := rest(ctx, began); err != nil {
			return err
		}
	}
	return errors.Join(s.store.sweepWaiting(ctx, cutoff), s.store.sweepEnded(ctx, lead[1]))
}

func (s *Sweeper) sweepPage(ctx context.Context, ids []ID, now int64, served []string) error {
	tasks, err := s.store.waiting(ctx, ids, now)
	if err != nil {
		return err
	}
	if len(tasks) == 0 {
		return nil
	}
	lost, err := s.queue.Lost(ctx, tasks)
	if err != nil {
		return fmt.Errorf("look for %d tasks: %w", len(tasks), err)
	}
	var errs []error
	for i, t := range tasks {
		switch {
		case s.isDeserted(t, served):
			errs = append(errs, s.rescue(ctx, t, served))
		case lost[i]:
			errs = append(errs, s.replace(ctx, t))
		}
	}
	return errors.Join(errs...)
}

func (s *Sweeper) replace(ctx context.Context, lost Task) error {
	if lost.IsWebhook() {
		return s.requeue(ctx, lost)
	}
	t, ok, err := s.store.raise(ctx, lost)
	if err != nil || !ok {
		return err
	}
	s.log.WarnContext(ctx, "replaced a lost task", slog.String("job_id", string(t.Job)), slog.Int("image", t.Image),
		slog.Int64("generation", t.Generation))
	if err := s.queue.Enqueue(ctx, t); err != nil {
		return fmt.Errorf("queue task %s: %w", t.ID(), err)
	}
	return nil
}

// requeue queues a delivery again. Its task has no generations, so what is left of the lost one goes first.
func (s *Sweeper) requeue(ctx context.Context, lost Task) error {
	s.log.WarnContext(ctx, "replaced a lost webhook task", slog.String("job_id", string(lost.Job)))
	if err := errors.Join(s.queue.Remove(ctx, lost), s.queue.Enqueue(ctx, lost)); err != nil {
		return fmt.Errorf("queue task %s: %w", lost.ID(), err)
	}
	return nil
}
