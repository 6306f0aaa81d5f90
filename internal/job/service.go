package job

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Queue carries tasks to the workers.
type Queue interface {
	// Enqueue makes tasks wait in their queues. A task that is there already is no error.
	Enqueue(ctx context.Context, tasks ...Task) error
	// Remove takes tasks that wait out of their queues. Those that are not there, or run already, are no error.
	Remove(ctx context.Context, tasks ...Task) error
	// Position returns how many tasks will start before the task, itself included; 0 where it does not wait.
	Position(ctx context.Context, t Task) (int, error)
}

// Metrics is told of jobs.
type Metrics interface {
	JobSubmitted(lane string)
	// JobFinished counts a job that was ended here, d after it was made.
	JobFinished(status string, d time.Duration)
}

const (
	// enqueueTimeout bounds queueing; a job whose tasks are not queued by then waits for the sweeper.
	enqueueTimeout = 1500 * time.Millisecond
	// lookAgain is the pause after a look at the record that failed.
	lookAgain = time.Second
)

// Service makes jobs and waits for them. Its errors are classified ([imagegen.Error]).
type Service struct {
	store   *Store
	watcher *Watcher
	queue   Queue
	metrics Metrics
	log     *slog.Logger
}

// NewService joins a store, a running watcher and a queue.
func NewService(store *Store, watcher *Watcher, queue Queue, metrics Metrics, log *slog.Logger) *Service {
	return &Service{store: store, watcher: watcher, queue: queue, metrics: metrics, log: log}
}

// Submit records the job and queues its pictures. Once the record is written the job is accepted, and will reach a
// terminal state whatever happens to this process; trouble with the queue after that is the sweeper's to mend.
//
// The repetition of a request whose job is known, and was not cancelled, gets that job, whatever its state.
func (s *Service) Submit(ctx context.Context, n New) (Job, error) {
	// A caller that goes away in between must not leave half a job.
	ctx = context.WithoutCancel(ctx)
	if n.Repeated {
		j, ok, err := s.earlier(ctx, n)
		if err != nil || ok {
			return j, err
		}
	}
	id := n.ID
	if id == "" {
		id = NewID()
	}
	at, err := s.store.Create(ctx, id, n)
	if err != nil {
		return Job{}, unavailable(err)
	}
	s.metrics.JobSubmitted(string(n.Class))
	tasks := n.tasks(id)
	ctx, cancel := context.WithTimeout(ctx, enqueueTimeout)
	defer cancel()
	if err := s.queue.Enqueue(ctx, tasks...); err != nil {
		s.log.WarnContext(ctx, "queue a job's tasks; the sweeper will", slog.String("job_id", string(id)), slog.Any("error", err))
	}
	j := Job{ID: id, Status: StatusQueued, Owner: n.Owner, Class: n.Class, Spec: n.Spec, Wish: n.Wish, CreatedAt: at, Version: 1}
	for _, t := range tasks {
		j.Pictures = append(j.Pictures, Picture{Queue: t.Queue})
	}
	return j, nil
}

// earlier returns the job that an earlier request of the same fingerprint made.
func (s *Service) earlier(ctx context.Context, n New) (Job, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout) // both looks together: the caller is promised an answer
	defer cancel()
	id, err := s.store.Repeated(ctx, n.Fingerprint)
	if err != nil {
		return Job{}, false, unavailable(err)
	}
	if id == "" {
		return Job{}, false, nil
	}
	j, err := s.Get(ctx, n.Owner, id)
	switch {
	case err == nil:
		return j, j.Status != StatusCancelled, nil
	case imagegen.AsError(err).Kind == imagegen.KindJobNotFound: // expired, or its record was never written
		return Job{}, false, nil
	}
	return Job{}, false, err
}

// Cancel ends a job that is not terminal yet, and returns it as it is then.
func (s *Service) Cancel(ctx context.Context, owner string, id ID) (Job, error) {
	j, err := s.Get(ctx, owner, id)
	if err != nil || j.Status.Terminal() {
		return j, err
	}
	won, err := s.store.Cancel(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Job{}, unavailable(err)
	}
	if won {
		s.metrics.JobFinished(string(StatusCancelled), time.Since(j.CreatedAt))
	}
	var tasks []Task
	for i := range j.Pictures {
		tasks = append(tasks, j.task(i))
	}
	// A task that stays in its queue does nothing: its worker finds the job ended.
	if err := s.queue.Remove(ctx, tasks...); err != nil {
		s.log.WarnContext(ctx, "remove the tasks of a cancelled job", slog.String("job_id", string(id)), slog.Any("error", err))
	}
	return s.Get(ctx, owner, id)
}

// Get reads a job. One that another owner made does not exist for this one.
func (s *Service) Get(ctx context.Context, owner string, id ID) (Job, error) {
	j, err := s.store.Get(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && j.Owner != owner:
		return Job{}, &imagegen.Error{
			Kind: imagegen.KindJobNotFound, Message: "there is no such job, or it has expired", Err: err,
		}
	case err != nil:
		return Job{}, unavailable(err)
	}
	return j, nil
}

// Beat is what a waiter does meanwhile, to show that it is alive. An error ends the wait. The zero Beat does nothing.
type Beat struct {
	Every time.Duration
	Func  func(ctx context.Context) error
}

// Wait blocks until the job is terminal, or until ctx ends: then its error is the context's cause. While Redis is away
// it goes on waiting. It reads the record once, and again when something is heard of the job.
func (s *Service) Wait(ctx context.Context, owner string, id ID, beat Beat) (Job, error) {
	watch := s.watcher.Watch(id)
	defer watch.Stop()
	var beats <-chan time.Time
	if beat.Every > 0 {
		ticker := time.NewTicker(beat.Every)
		defer ticker.Stop()
		beats = ticker.C
	}
	for {
		j, err := s.Get(ctx, owner, id)
		if err == nil && j.Status.Terminal() {
			return j, nil
		}
		var again <-chan time.Time
		if err != nil {
			if imagegen.AsError(err).Kind == imagegen.KindJobNotFound {
				return Job{}, err
			}
			again = time.After(lookAgain)
		}
		for look := false; !look; {
			select {
			case <-ctx.Done():
				return Job{}, context.Cause(ctx)
			case <-watch.C:
				look = true
			case <-again:
				look = true
			case <-beats:
				if err := beat.Func(ctx); err != nil {
					return Job{}, err
				}
			}
		}
	}
}

// Position estimates how many pictures start before the job's next one, itself included; 0 where none waits.
func (s *Service) Position(ctx context.Context, j Job) (int, error) {
	for i, p := range j.Pictures {
		if p.Image != nil || p.Error != nil || j.Status.Terminal() {
			continue
		}
		n, err := s.queue.Position(ctx, j.task(i))
		if err != nil {
			return 0, unavailable(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, nil
}

func unavailable(err error) error {
	return &imagegen.Error{
		Kind: imagegen.KindQueueUnavailable, RetryAfter: 2 * time.Second,
		Message: "the queue cannot be reached at the moment; please try again", Err: err,
	}
}
