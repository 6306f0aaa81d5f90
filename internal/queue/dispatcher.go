package queue

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// idleWait is how long an idle worker listens to the wake list before it looks for itself: the bound for tasks that
	// come without a token, such as those re-run from the dashboard, and for slots whose lease ran out. It is also how
	// long one of asynq's dequeues is held before the next wait begins: asynq dates the 30 s lease of a task from the
	// moment it asks, so a task handed over much later would start with a lease that has run out.
	idleWait = 5 * time.Second
	// backoffMin and backoffMax are the pauses between looks for a Redis that failed.
	backoffMin = 100 * time.Millisecond
	backoffMax = 2 * time.Second
)

// dispatcher is a go-redis hook on the client of an asynq server. It answers asynq's dequeues: at once with nothing for
// queues that are empty, after taking a slot for those that are not, and not at all while there is nothing to take.
//
// asynq asks for one queue after another, in an order drawn anew for each pass, until it gets a task. The dispatcher
// recognises a new pass by a queue asked a second time, or by the first question after a task or an error, and looks at
// all queues in one round trip before it. asynq dequeues from a single goroutine, which is the only one to use pass.
type dispatcher struct {
	redis  redis.UniversalClient // without this hook
	listen redis.UniversalClient // for blocking reads only; closing it is the way to end one
	queues []string
	slots  *slots
	log    *slog.Logger

	stop     chan struct{}
	stopOnce sync.Once

	pass map[string]int64 // queues not yet asked for in this pass, and how many tasks wait there

	mu    sync.Mutex
	taken map[string]*slot // slots of tasks handed to asynq whose handler has not started yet, by task id
}

var _ redis.Hook = (*dispatcher)(nil)

func newDispatcher(client, listen redis.UniversalClient, queues []string, s *slots, log *slog.Logger) *dispatcher {
	return &dispatcher{
		redis: client, listen: listen, queues: queues, slots: s, log: log,
		stop: make(chan struct{}), taken: make(map[string]*slot),
	}
}

// DialHook changes nothing.
func (d *dispatcher) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessPipelineHook changes nothing: asynq does not dequeue in pipelines.
func (d *dispatcher) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook answers dequeues, and wakes workers for delayed tasks that asynq moves to their queue.
func (d *dispatcher) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if queue, ok := dequeueOf(cmd); ok {
			return d.dequeue(ctx, cmd, next, queue)
		}
		err := next(ctx, cmd)
		if queue, ok := forwardTo(cmd); ok && err == nil {
			d.forwarded(ctx, cmd, queue)
		}
		return err
	}
}

// dequeueOf recognises asynq's dequeue: a script, by digest or, after a restart of Redis or SCRIPT FLUSH, by its text,
// with four keys of which the first is a pending list, and two arguments.
func dequeueOf(cmd redis.Cmder) (queue string, ok bool) {
	args := cmd.Args()
	if len(args) != 9 || !isScript(args) {
		return "", false
	}
	key, ok := args[3].(string)
	if !ok {
		return "", false
	}
	return queueOfPending(key)
}

// forwardTo recognises the script that moves due tasks from a delayed set to the pending list, its second key.
func forwardTo(cmd redis.Cmder) (queue string, ok bool) {
	args := cmd.Args()
	if len(args) != 9 || !isScript(args) {
		return "", false
	}
	from, ok1 := args[3].(string)
	to, ok2 := args[4].(string)
	if !ok1 || !ok2 || !strings.HasSuffix(from, ":retry") && !strings.HasSuffix(from, ":scheduled") {
		return "", false
	}
	return queueOfPending(to)
}

func isScript(args []any) bool {
	name, ok := args[0].(string)
	return ok && (strings.EqualFold(name, "evalsha") || strings.EqualFold(name, "eval"))
}

// forwarded wakes a worker for each task that was moved: they came without a token.
func (d *dispatcher) forwarded(ctx context.Context, cmd redis.Cmder, queue string) {
	reply, ok := cmd.(*redis.Cmd)
	if !ok {
		return
	}
	n, err := reply.Int()
	if err != nil || n <= 0 {
		return
	}
	tokens := make([]string, min(n, wakeCap))
	for i := range tokens {
		tokens[i] = queue
	}
	if err := wake(ctx, d.redis, tokens...); err != nil {
		d.log.DebugContext(ctx, "wake workers for delayed tasks", slog.Any("error", err))
	}
}

// dequeue lets the command pass only when a task waits and a slot is taken for it.
func (d *dispatcher) dequeue(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook, queue string) error {
	if _, ok := d.pass[queue]; !ok {
		d.look(ctx)
	}
	waiting := d.pass[queue]
	delete(d.pass, queue)
	if d.stopping() || waiting == 0 {
		return nothing(cmd)
	}
	slot, err := d.slots.acquire(ctx)
	if err != nil {
		d.pass = nil
		d.recover(ctx, err)
		return nothing(cmd)
	}
	if slot == nil {
		d.pass = nil
		d.awaitSlot(ctx)
		return nothing(cmd)
	}
	err = next(ctx, cmd)
	if err != nil {
		slot.release(ctx)
		if !errors.Is(err, redis.Nil) {
			d.pass = nil
			if !redis.HasErrorPrefix(err, "NOSCRIPT") { // asynq sends the script's text next
				d.recover(ctx, err)
			}
		}
		return err
	}
	d.pass = nil
	id, ok := taskIDOf(cmd)
	if !ok {
		// asynq cannot read the message either; its recoverer will find the task.
		slot.release(ctx)
		return nil
	}
	d.mu.Lock()
	d.taken[id] = slot
	d.mu.Unlock()
	return nil
}

// nothing answers a dequeue as Redis does for an empty queue.
func nothing(cmd redis.Cmder) error {
	cmd.SetErr(redis.Nil)
	return redis.Nil
}

// claim returns the slot that was taken for the task; the caller releases it when the call has ended.
func (d *dispatcher) claim(taskID string) *slot {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.taken[taskID]
	delete(d.taken, taskID)
	return s
}

// look begins a pass: it waits until a local slot is free and a task waits somewhere. When that takes long, or the
// process stops, the pass is one of empty queues: asynq asks again.
func (d *dispatcher) look(ctx context.Context) {
	d.pass = d.newPass(nil)
	for held := time.Now(); time.Since(held) < idleWait && !d.stopping(); {
		if !d.slots.idle() {
			d.awaitLocalSlot()
			continue
		}
		waiting, err := d.lengths(ctx)
		if err != nil {
			d.recover(ctx, err)
			return
		}
		if len(waiting) > 0 {
			d.pass = d.newPass(waiting)
			return
		}
		if queue := d.await(ctx); queue != "" {
			// The token says where: one task is there, if no other worker was faster.
			d.pass = d.newPass(map[string]int64{queue: 1})
			return
		}
	}
}

// newPass returns a pass over all queues.
func (d *dispatcher) newPass(waiting map[string]int64) map[string]int64 {
	pass := make(map[string]int64, len(d.queues))
	for _, q := range d.queues {
		pass[q] = waiting[q]
	}
	return pass
}

// lengths returns the queues that have something to take, in one round trip. A queue paused from the dashboard has not:
// asynq's script answers nothing for it, and asking at once again would go on without rest.
func (d *dispatcher) lengths(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	pipe := d.redis.Pipeline()
	replies, paused := make([]*redis.IntCmd, len(d.queues)), make([]*redis.IntCmd, len(d.queues))
	for i, q := range d.queues {
		replies[i], paused[i] = pipe.LLen(ctx, pendingKey(q)), pipe.Exists(ctx, pausedKey(q))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err //nolint:wrapcheck // logged by recover, which says what was tried
	}
	var waiting map[string]int64
	for i, q := range d.queues {
		if n := replies[i].Val(); n > 0 && paused[i].Val() == 0 {
			if waiting == nil {
				waiting = make(map[string]int64, len(d.queues))
			}
			waiting[q] = n
		}
	}
	return waiting, nil
}

// await blocks until a token comes, at most idleWait, and returns the queue it names; empty where it names none of ours.
func (d *dispatcher) await(ctx context.Context) string {
	reply, err := d.listen.BLPop(ctx, idleWait, wakeKey).Result()
	if err != nil || len(reply) != 2 {
		return "" // nothing came, the client was closed, or Redis is away: the next look finds out
	}
	for _, q := range d.queues {
		if q == reply[1] {
			return q
		}
	}
	return ""
}

// awaitLocalSlot blocks while every slot of this process is in use, at most idleWait. Tokens are left to other workers
// meanwhile.
func (d *dispatcher) awaitLocalSlot() {
	timer := time.NewTimer(idleWait)
	defer timer.Stop()
	select {
	case <-d.stop:
	case <-d.slots.freed:
	case <-timer.C:
	}
}

// awaitSlot blocks after a slot was refused although tasks wait: until one comes free here or elsewhere.
func (d *dispatcher) awaitSlot(ctx context.Context) {
	if !d.slots.idle() {
		d.awaitLocalSlot()
		return
	}
	d.await(ctx)
}

// recover waits until Redis answers again.
func (d *dispatcher) recover(ctx context.Context, cause error) {
	if d.stopping() {
		return
	}
	d.log.WarnContext(ctx, "redis does not let this worker take tasks", slog.Any("error", cause))
	for pause := backoffMin; ; pause = min(2*pause, backoffMax) {
		timer := time.NewTimer(pause)
		select {
		case <-d.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := d.slots.reconcile(ctx); err != nil {
			continue
		}
		pinged, cancel := context.WithTimeout(ctx, readTimeout)
		err := d.redis.Ping(pinged).Err()
		cancel()
		if err == nil {
			return
		}
	}
}

func (d *dispatcher) stopping() bool {
	select {
	case <-d.stop:
		return true
	default:
		return false
	}
}

// shut makes every dequeue answer nothing, at once. Closing the client is what ends a blocking read: cancelling its
// context does not.
func (d *dispatcher) shut() {
	d.stopOnce.Do(func() {
		close(d.stop)
		_ = d.listen.Close()
	})
}
