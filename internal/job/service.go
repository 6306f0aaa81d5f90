package job

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/hands"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Queue carries tasks to the workers.
type Queue interface {
	// Enqueue makes tasks wait in their queues. A task that is there already is no error.
	Enqueue(ctx context.Context, tasks ...Task) error
	// Insert returns what a script needs to do what Enqueue does, in whichever of the queues of one upstream it likes. It is
	// not asked for in a Redis Cluster, where no script can.
	Insert(ctx context.Context, tasks []Task, queues ...string) (Insert, error)
	// Remove takes tasks that wait out of their queues. Those that are not there, or run already, are no error.
	Remove(ctx context.Context, tasks ...Task) error
	// Outlook returns how many tasks will start before each task, itself included, 0 where it does not wait; and how fast
	// the workers are.
	Outlook(ctx context.Context, tasks ...Task) (places []int, paces Paces, err error)
}

// Insert is a part of a script, which puts tasks into their queues.
type Insert struct {
	// Lua defines enqueue(i, queue, a), for the task i of those that were given, from 0, where Args begin with ARGV[a].
	Lua  string
	Args []any
}

// Metrics is told of jobs.
type Metrics interface {
	JobSubmitted(class string)
	// JobRefused counts a request for a job that was refused for a limit.
	JobRefused(reason string)
	// JobJoined counts a request that got the job of an earlier one.
	JobJoined(by string)
	// JobFinished counts a job that was ended here, d after it was made.
	JobFinished(status string, d time.Duration)
}

// Limiter counts requests of client keys.
type Limiter interface {
	// Allow counts a request of a key that may make rpm a minute. Where that is one too many it counts nothing, and wait
	// says when there is room for one.
	Allow(ctx context.Context, owner string, rpm int) (state Rate, wait time.Duration, ok bool, err error)
}

// lookAgain is the pause after a look at the record that failed.
const lookAgain = time.Second

// ServiceConfig holds a service's rules.
type ServiceConfig struct {
	// MaxPending is how many pictures may wait in all.
	MaxPending int
	// Drop says which jobs are dropped that nobody waits for any more.
	Drop Drop
	// PausesFunc returns when those of the upstreams are tried again that fail, and are spared calls; nil: none ever is.
	PausesFunc func(ctx context.Context, upstreams ...string) (map[string]time.Time, error)
	// ServedFunc returns those of the upstreams that some worker serves, in the same order; all of them where no worker
	// runs that would say so. nil: all always are.
	ServedFunc func(upstreams []string) []string
}

// Service makes jobs and waits for them. Its errors are classified ([imagegen.Error]).
type Service struct {
	store   *Store
	watcher *Watcher
	queue   Queue
	limiter Limiter
	cfg     ServiceConfig
	metrics Metrics
	log     *slog.Logger
	left    leftJobs
	fresh   *freshJobs
	hands   *hands.Hands
}

// NewService joins a store, a running watcher, a queue and a limiter. [Service.Run] must run beside it.
func NewService(store *Store, watcher *Watcher, queue Queue, limiter Limiter, cfg ServiceConfig, m Metrics, log *slog.Logger) *Service {
	if cfg.PausesFunc == nil {
		cfg.PausesFunc = func(context.Context, ...string) (map[string]time.Time, error) { return nil, nil }
	}
	if cfg.ServedFunc == nil {
		cfg.ServedFunc = func(upstreams []string) []string { return upstreams }
	}
	return &Service{
		store: store, watcher: watcher, queue: queue, limiter: limiter, cfg: cfg, metrics: m, log: log, left: newLeftJobs(), fresh: newFreshJobs(),
		hands: hands.New(),
	}
}

// Cancel ends a job that is not terminal yet, and returns it as it is then.
func (s *Service) Cancel(ctx context.Context, owner string, id ID) (Job, error) {
	j, err := s.Get(ctx, owner, id)
	if err != nil || j.Status.Terminal() {
		return j, err
	}
	if err := s.cancel(ctx, id, nil, false); err != nil && !errors.Is(err, ErrNotFound) {
		return Job{}, unavailable(err)
	}
	return s.Get(ctx, owner, id)
}

// cancel ends a job and does what follows; see [Store.Cancel].
func (s *Service) cancel(ctx context.Context, id ID, rule *DropRule, quiet bool) error {
	end, err := s.store.Cancel(ctx, id, rule, quiet)
	if err != nil || end.Status != StatusCancelled {
		return err
	}
	// A caller that goes away in between must not leave the rest to the sweeper.
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer done()
	j, err := s.store.Get(ctx, id) // as it was cancelled: some pictures may have begun since it was looked at
	if err != nil {
		s.log.WarnContext(ctx, "read a cancelled job; the sweeper will", slog.String("job_id", string(id)), slog.Any("error", err))
		return nil
	}
	s.metrics.JobFinished(string(StatusCancelled), time.Since(j.CreatedAt))
	if j.Dropped {
		s.log.InfoContext(ctx, "dropped a job that nobody waits for", slog.String("job_id", string(id)))
	}
	s.store.dismiss(ctx, j)
	// A task that stays in its queue does nothing: its worker finds the job ended.
	if err := s.queue.Remove(ctx, j.unfinished()...); err != nil {
		s.log.WarnContext(ctx, "remove the tasks of a cancelled job", slog.String("job_id", string(j.ID)), slog.Any("error", err))
	}
	if end.Webhook {
		s.enqueue(ctx, j.ID, []Task{WebhookTask(j.ID)})
	}
	return nil
}

// Delete cancels a job that is not terminal yet, and forgets it. Nobody is told of its end.
func (s *Service) Delete(ctx context.Context, owner string, id ID) error {
	j, err := s.Get(ctx, owner, id)
	if err != nil {
		return err
	}
	if !j.Status.Terminal() {
		if err := s.cancel(ctx, id, nil, true); err != nil && !errors.Is(err, ErrNotFound) {
			return unavailable(err)
		}
	}
	if err := s.store.Delete(ctx, owner, id); err != nil {
		return unavailable(err)
	}
	return nil
}

// List returns an owner's jobs, newest first, and whether there are more.
func (s *Service) List(ctx context.Context, owner string, q ListQuery) (jobs []Job, more bool, err error) {
	jobs, more, err = s.store.List(ctx, owner, q)
	switch {
	case errors.Is(err, ErrNoCursor):
		return nil, false, &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Param: "after", Message: "after must be the id of a job that is in the list", Err: err,
		}
	case err != nil:
		return nil, false, unavailable(err)
	}
	return jobs, more, nil
}

// Get reads a job. One that another owner made does not exist for this one.
func (s *Service) Get(ctx context.Context, owner string, id ID) (Job, error) {
	j, err := s.store.Get(ctx, id)
	return owned(owner, j, err)
}

// owned classifies what came of reading a job for an owner.
func owned(owner string, j Job, err error) (Job, error) {
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
// it goes on waiting. It reads the record once, and again when something is heard of the job; not before that where this
// process has just made it, and not at all where what is heard says everything.
func (s *Service) Wait(ctx context.Context, owner string, id ID, beat Beat) (ended *Job, err error) {
	known, watch := s.fresh.take(id, owner)
	if watch == nil {
		watch = s.watcher.Watch(id)
	}
	defer watch.Stop()
	err = s.follow(ctx, watch, owner, id, known, beat, func(j *Job) error {
		ended = j
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

// Follow calls tell with the job as it is, unless that is the version seen, and again with each version after it until one
// is terminal; of changes in quick succession only with the last. Else it is like [Service.Wait]. An error of tell ends it.
func (s *Service) Follow(ctx context.Context, owner string, id ID, seen int64, beat Beat, tell func(Job) error) error {
	watch := s.watcher.WatchChanges(id)
	defer watch.Stop()
	return s.follow(ctx, watch, owner, id, nil, beat, func(j *Job) error {
		if j.Version == seen {
			return nil
		}
		seen = j.Version
		return tell(*j)
	})
}

// follow looks at the job now and whenever the watch says so, until it is terminal. Not now where it is known as it was made,
// before which the watch began.
//
// Thousands wait here at once, so little is kept on the stack, and what is deep runs on another goroutine.
func (s *Service) follow(
	ctx context.Context, watch *Watch, owner string, id ID, known *Job, beat Beat, look func(*Job) error,
) error {
	var beats <-chan time.Time
	if beat.Every > 0 {
		ticker := time.NewTicker(beat.Every)
		defer ticker.Stop()
		beats = ticker.C
	}
	for first := true; ; first = false {
		var again <-chan time.Time
		if !first || known == nil {
			j, err := s.now(ctx, watch, owner, id, known)
			switch {
			case err == nil:
				if err := look(j); err != nil || j.Status.Terminal() {
					return err
				}
			case imagegen.AsError(err).Kind == imagegen.KindJobNotFound:
				return err
			default:
				again = time.After(lookAgain)
			}
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-watch.C:
				waiting = false
			case <-again:
				waiting = false
			case <-beats:
				if err := beat.Func(ctx); err != nil {
					return err
				}
			}
		}
	}
}

// now returns the job as it is: as was told of its end, or else as the record says.
func (s *Service) now(ctx context.Context, watch *Watch, owner string, id ID, known *Job) (j *Job, err error) {
	s.hands.Run(func() {
		found, failure := watch.told(known)
		if failure != nil {
			read := s.store.get
			if watch.changes {
				read = s.store.follow
			}
			found, failure = read(ctx, id, known)
			found, failure = owned(owner, found, failure)
		}
		j, err = &found, failure
	})
	return j, err
}

func unavailable(err error) error {
	return &imagegen.Error{
		Kind: imagegen.KindQueueUnavailable, RetryAfter: 2 * time.Second,
		Message: "the queue cannot be reached at the moment; please try again", Err: err,
	}
}
