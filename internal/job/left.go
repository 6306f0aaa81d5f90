package job

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Drop says which jobs are dropped once nobody waits for them.
type Drop string

// The rules of CANCEL_ON_DISCONNECT.
const (
	DropQueued Drop = "queued" // those that have not started
	DropAlways Drop = "always"
	DropNever  Drop = "never"
)

// DropRule is what must be true of a job that is to be dropped.
type DropRule struct {
	Left    time.Duration // how long ago its last caller must have left
	Started bool          // also where a call has begun
}

// leftJobs are the jobs whose last caller on this process left a moment ago.
type leftJobs struct {
	mu    sync.Mutex
	jobs  []leftJob // the first one first
	added chan struct{}
}

type leftJob struct {
	id  ID
	due time.Time
}

func newLeftJobs() leftJobs { return leftJobs{added: make(chan struct{}, 1)} }

func (l *leftJobs) add(id ID) {
	l.mu.Lock()
	l.jobs = append(l.jobs, leftJob{id, time.Now().Add(leftGrace + leftSlack)})
	l.mu.Unlock()
	signal(l.added)
}

// next returns the job that was left first, and takes it off if it is due; wait says how long it is until then, 0 where
// there is none.
func (l *leftJobs) next() (id ID, due bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.jobs) == 0 {
		return "", false, 0
	}
	first := l.jobs[0]
	if wait := time.Until(first.due); wait > 0 {
		return "", false, wait
	}
	l.jobs = l.jobs[1:]
	return first.id, true, 0
}

// Run drops jobs that nobody waits for any more, until ctx ends. It returns nil then. Those whose grace is not over by
// then go on.
func (s *Service) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		id, due, wait := s.left.next()
		if due {
			s.drop(ctx, id)
			continue
		}
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-s.left.added:
		case <-again:
		}
	}
	return nil
}

// drop cancels a job that was left, if nobody has joined it since, here or elsewhere.
func (s *Service) drop(ctx context.Context, id ID) {
	err := s.cancel(ctx, id, &DropRule{Left: leftGrace, Started: s.cfg.Drop == DropAlways}, false)
	if err == nil || errors.Is(err, ErrNotFound) || ctx.Err() != nil {
		return
	}
	s.log.WarnContext(ctx, "drop a job that nobody waits for; trying again", slog.String("job_id", string(id)), slog.Any("error", err))
	s.left.add(id)
}

// Join puts a caller on the line of its own job for at most d, so that it is not dropped meanwhile. The token is empty where
// that has no meaning: nothing will drop the job.
func (s *Service) Join(ctx context.Context, owner string, id ID, d time.Duration) (token string, err error) {
	if s.cfg.Drop == DropNever || !id.Valid() {
		return "", nil
	}
	token = newToken()
	on, err := s.store.join(ctx, owner, id, token, d)
	if err != nil {
		return "", unavailable(err)
	}
	if !on {
		return "", nil
	}
	return token, nil
}

// Leave takes a caller off the line of a job that it does not wait for any more. If it was the last one, the job is
// dropped after a while, unless another one joins.
func (s *Service) Leave(ctx context.Context, id ID, token string) {
	if token == "" {
		return
	}
	last, err := s.store.leave(context.WithoutCancel(ctx), id, token)
	if err != nil {
		s.log.WarnContext(ctx, "note that a caller left; its job goes on", slog.String("job_id", string(id)), slog.Any("error", err))
		return
	}
	if last {
		s.left.add(id)
	}
}

// Keep takes a caller off the line that was promised that the job goes on, whoever leaves after it; the token may be
// empty.
func (s *Service) Keep(ctx context.Context, id ID, token string) error {
	if s.cfg.Drop == DropNever {
		return nil
	}
	if err := s.store.keep(context.WithoutCancel(ctx), id, token); err != nil {
		return unavailable(err)
	}
	return nil
}
