package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// delayedLook is how often a set of delayed tasks is looked at in which nothing is known to be due: the bound for
	// tasks that a worker delayed which is gone since.
	delayedLook = 5 * time.Second
	// forwardBatch is how many tasks asynq's script moves at once. After fewer it would find no more.
	forwardBatch = 100
)

// delayed knows when asynq's question for due tasks is worth a round trip. asynq asks for each of two sets a queue, every
// second; this process sees the tasks that it delays itself, and so knows when they are due.
type delayed struct {
	mu   sync.Mutex
	sets map[string]*delayedSet // by key
}

type delayedSet struct {
	due    map[int64]struct{} // unix seconds at which tasks come due that this process put there
	looked time.Time          // when it was last known that the set held nothing else that was due
}

func newDelayed() *delayed { return &delayed{sets: make(map[string]*delayedSet)} }

func (d *delayed) set(key string) *delayedSet {
	s := d.sets[key]
	if s == nil {
		s = &delayedSet{due: make(map[int64]struct{})}
		d.sets[key] = s
	}
	return s
}

// note says that a task of the set comes due at the unix second.
func (d *delayed) note(key string, at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set(key).due[at] = struct{}{}
}

// take reports whether the set is to be looked at for what is due at the unix second. The notes that say so are taken out,
// before the look: one made while it is under way may be of a task that it does not see.
func (d *delayed) take(key string, second int64, now time.Time) (due []int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.set(key)
	for at := range s.due {
		if at <= second {
			due = append(due, at)
			delete(s.due, at)
		}
	}
	return due, len(due) > 0 || now.Sub(s.looked) >= delayedLook
}

// looked says that the look begun at the time found all that was due.
func (d *delayed) looked(key string, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set(key).looked = at
}

// untake says that the look failed, or may have left something behind: the next question is worth another.
func (d *delayed) untake(key string, due []int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.set(key)
	s.looked = time.Time{}
	for _, at := range due {
		s.due[at] = struct{}{}
	}
}

// forward lets asynq's question for due tasks pass when there may be one, and answers "none" else. It wakes a worker for
// each task that was moved: they come without a token.
func (d *dispatcher) forward(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook, f forward) error {
	reply, ok := cmd.(*redis.Cmd)
	if !ok {
		return next(ctx, cmd)
	}
	began := time.Now()
	due, ok := d.delayed.take(f.set, f.now, began)
	if !ok {
		reply.SetVal(int64(0))
		return nil
	}
	err := next(ctx, cmd)
	n, bad := reply.Int()
	if err != nil || bad != nil || n >= forwardBatch {
		d.delayed.untake(f.set, due)
	} else {
		d.delayed.looked(f.set, began)
	}
	if err == nil && n > 0 {
		d.wake(ctx, f.queue, n)
	}
	return err
}

// sawDelay notes when a task that asynq has put aside is due. One that is due at once while this process stops was handed
// back: asynq looks for delayed tasks no more here, so it is moved to its queue now.
func (d *dispatcher) sawDelay(ctx context.Context, x delay, err error) {
	d.delayed.note(x.set, x.at) // after an error too: the script may have run unheard
	if err != nil || !d.stopping() || x.at > time.Now().Unix() {
		return
	}
	if err := d.inspector.RunTask(x.queue, x.id); err != nil {
		d.log.DebugContext(ctx, "move a task that was handed back", slog.Any("error", err)) // another worker was faster
		return
	}
	d.wake(ctx, x.queue, 1)
}

// wake pushes n tokens that name the queue.
func (d *dispatcher) wake(ctx context.Context, queue string, n int) {
	if n <= 0 {
		return
	}
	tokens := make([]string, min(n, wakeCap))
	for i := range tokens {
		tokens[i] = queue
	}
	if err := wake(ctx, d.redis, wakeOfKey(upstreamOf(queue)), tokens...); err != nil {
		d.log.DebugContext(ctx, "wake workers for delayed tasks", slog.Any("error", err))
	}
}
