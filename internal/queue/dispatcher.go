package queue

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

const (
	// idleWait is how long an idle worker listens to the wake list before it looks for itself: the bound for tasks that
	// come without a token, such as those re-run from the dashboard, and for slots whose lease ran out. It is also how
	// long one of asynq's dequeues is held before the next wait begins: asynq dates the 30 s lease of a task from the
	// moment it asks, so a task handed over much later would start with a lease that has run out.
	idleWait = 5 * time.Second
	// slotWait is how soon a worker looks again for a slot that it was refused: a slot whose worker died comes free without a
	// token.
	slotWait = 2 * time.Second
	// lookAfter is how long tokens are followed before the queues are looked at again, while each leads to a task, comes after
	// a pause of quiet, and slots are left: a look costs more than a token, but takes many tasks at once.
	lookAfter = 100 * time.Millisecond
	quiet     = 500 * time.Microsecond
	// backoffMin and backoffMax are the pauses between looks for a Redis that failed.
	backoffMin = 100 * time.Millisecond
	backoffMax = 2 * time.Second
)

// dispatcher is a go-redis hook on the client of an asynq server. It answers asynq's dequeues: at once with nothing for
// queues that are empty or not in turn, after taking a slot for the others, and not at all while there is nothing to take.
//
// asynq asks for one queue after another, in an order drawn anew for each pass, until it gets a task. The dispatcher
// recognises a new pass by a queue asked a second time, or by the first question after a task or an error, and looks at
// all queues in one round trip before it, or did with the last tasks. Then it picks the lanes whose turn it is, for as
// many tasks as there are slots, and takes these in another round trip: asynq's order does not matter, nor that it asks
// for one task at a time, from a single goroutine. That is the only one to use the fields of a pass.
type dispatcher struct {
	redis      redis.UniversalClient // without this hook
	asynq      redis.UniversalClient // with it; repeats nothing by itself
	listen     redis.UniversalClient // for blocking reads only; closing it is the way to end one
	inspector  *asynq.Inspector
	upstreams  []string
	elsewhere  map[string][]string // by upstream: those that its pictures may go to instead
	gate       Gate
	lanes      [len(laneWeights)][]string // the queues of each lane
	slots      *slots                     // of pictures
	deliveries *slots                     // of webhooks, which use none of the upstream's
	delayed    *delayed
	log        *slog.Logger

	stop     chan struct{}
	stopOnce sync.Once

	beginner // of calls, as their tasks are taken

	pass    map[string]struct{} // queues not yet asked for in this pass
	fetched []fetched           // taken, and not asked for yet
	ahead   map[string]int      // how many tasks each queue had when the last were fetched; nil: not asked, or used
	aheadAt time.Time           // when that was asked
	divert  map[string]bool     // queues whose tasks are taken in this pass to go to another upstream, without a call
	scans   map[string]scan     // by upstream that is held back: what is left to be looked through
	heldFor time.Duration       // how long until an upstream with tasks that wait is asked again; 0: none does
	credits credits             // of the lanes, at the last picture taken
	backlog bool                // deliveries wait for a slot of theirs
	emptyAt time.Time           // when a look last found nothing to take
	told    bool                // a token said what to take in this pass
	awaited time.Duration       // how long it took to come
	stale   bool                // it led to nothing: what else is in the lists may be as old

	asynqSlots int          // tasks that asynq handles at once
	handed     atomic.Int32 // tasks that it has

	mu    sync.Mutex
	taken map[string]*slot // slots of tasks handed to asynq whose handler has not started yet, by task id
}

var _ redis.Hook = (*dispatcher)(nil)

func newDispatcher(c Clients, cfg ServerConfig, pictures, deliveries *slots, log *slog.Logger) *dispatcher {
	return &dispatcher{
		redis: c.Commands, asynq: c.Asynq, listen: c.Listen, inspector: asynq.NewInspectorFromRedisClient(c.Commands),
		upstreams: cfg.upstreams(), elsewhere: cfg.Elsewhere, gate: cfg.Gate,
		lanes: laneQueues(cfg.upstreams()), slots: pictures, deliveries: deliveries, delayed: newDelayed(), log: log,
		// Slots are the limit: each call may be followed by one while its errand is brought to an end, and one more lets the
		// next dequeue wait for a slot.
		asynqSlots: 2*cfg.Concurrency + deliverySlots + 1,
		beginner:   newBeginner(cfg.Begin, c.Asynq),
		stop:       make(chan struct{}), taken: make(map[string]*slot), divert: make(map[string]bool), scans: make(map[string]scan),
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

// ProcessHook answers dequeues, and sees to delayed tasks.
func (d *dispatcher) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if queue, ok := dequeueOf(cmd); ok {
			return d.dequeue(ctx, cmd, queue)
		}
		if f, ok := forwardOf(cmd); ok {
			return d.forward(ctx, cmd, next, f)
		}
		if isDone(cmd) {
			return d.redis.Process(ctx, cmd)
		}
		err := next(ctx, cmd)
		if x, ok := delayOf(cmd); ok {
			d.sawDelay(ctx, x, err)
		}
		return err
	}
}

// dequeue answers asynq's question for a task of a queue. The first question of a pass takes as many tasks as there are
// slots for; the following are answered with them.
func (d *dispatcher) dequeue(ctx context.Context, cmd redis.Cmder, queue string) error {
	if d.stopping() {
		return nothing(cmd) // what was fetched is given back
	}
	if !d.knows(cmd) {
		return untold(cmd)
	}
	if len(d.fetched) == 0 {
		if _, ok := d.pass[queue]; !ok {
			if err := d.fetch(ctx, cmd, queue, d.look(ctx)); err != nil {
				d.pass, d.told = nil, false
				cmd.SetErr(err)
				return err
			}
			d.stale = d.told && len(d.fetched) == 0
		}
		delete(d.pass, queue)
	}
	return d.handOver(ctx, cmd, queue)
}

// take takes a slot for a task of the queue; nil where there is none.
func (d *dispatcher) take(ctx context.Context, queue string) (*slot, error) {
	if queue == job.WebhookQueue {
		return d.deliveries.acquire(ctx, queue, Allowance{Most: -1})
	}
	upstream := upstreamOf(queue)
	allowed := d.gate.Allow(upstream)
	if allowed.Most == 0 && d.divert[queue] {
		s := d.slots.local()
		if s != nil {
			s.diverted = true
		}
		return s, nil
	}
	if !allowed.Probe {
		return d.slots.acquire(ctx, upstream, allowed)
	}
	name, ok, err := d.gate.Claim(ctx, upstream)
	if err != nil || !ok {
		return nil, err
	}
	s, err := d.slots.acquire(ctx, upstream, Allowance{Most: -1})
	if s == nil {
		if name != "" {
			d.gate.GiveBack(ctx, upstream, name)
		}
		return nil, err
	}
	s.probe, s.giveBack, s.spared = name, d.gate.GiveBack, true
	return s, nil
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

// look begins a pass: it waits until a task waits somewhere for which a slot of this process is free, and says which tasks to
// take. When that takes long, or the process stops, that is none: asynq asks again.
func (d *dispatcher) look(ctx context.Context) []pick {
	d.newPass()
	if err := d.reclaim(ctx); err != nil {
		d.recover(ctx, err)
		return nil
	}
	followed := d.told && !d.stale && d.awaited > quiet
	d.told = false
	for held := time.Now(); time.Since(held) < idleWait && !d.stopping(); followed = false {
		pictures, deliveries := d.slots.idle(), d.deliveries.idle()
		if !pictures && !deliveries {
			d.awaitLocalSlot()
			continue
		}
		if followed && pictures && time.Since(d.emptyAt) < lookAfter {
			// What waits since the last look has a token of its own.
			if picks := d.listenFor(ctx); len(picks) > 0 {
				return picks
			}
			continue
		}
		waiting, cleared, err := d.waiting(ctx, pictures) // how many tasks, by queue
		if err != nil {
			d.recover(ctx, err)
			return nil
		}
		var left map[string]int
		if cleared {
			left = maps.Clone(waiting)
		}
		d.holdBack(waiting)
		picks := d.choose(waiting, pictures, deliveries)
		if cleared {
			for _, p := range picks {
				left[p.queue]--
			}
			for queue, n := range left { // what is left is for others
				d.wake(ctx, queue, n)
			}
		}
		if len(picks) > 0 {
			return picks
		}
		if !pictures {
			d.awaitLocalSlot() // tokens are left to other workers
			continue
		}
		d.emptyAt = time.Now()
		if picks := d.listenFor(ctx); len(picks) > 0 {
			return picks
		}
	}
	return nil
}

// listenFor waits for a token that says where a task is, if no other worker is faster.
func (d *dispatcher) listenFor(ctx context.Context) []pick {
	began := time.Now()
	queue := d.await(ctx)
	d.awaited = time.Since(began)
	if d.told = d.serves(queue); d.told {
		return []pick{{queue, d.credits}}
	}
	return nil
}

// holdBack takes out of what waits the tasks of upstreams that have no slot free or are spared calls. Those of the latter
// that may go to another upstream stay in, to be sent there.
func (d *dispatcher) holdBack(waiting map[string]int) {
	d.heldFor = 0
	clear(d.divert)
	for _, u := range d.upstreams {
		allowed := d.gate.Allow(u)
		if allowed.Most != 0 {
			delete(d.scans, u)
			if d.slots.open(u) {
				continue
			}
		}
		until := allowed.Until
		if allowed.Most == 0 && d.otherThan(u) {
			left := d.scan(u, waiting)
			if again := d.scans[u].again; again.Before(until) {
				until = again
			}
			for queue, n := range left {
				d.divert[queue] = n > 0 && waiting[queue] > 0
			}
		}
		d.holdQueues(u, allowed.Most == 0, until, waiting)
	}
}

// holdQueues takes the queues of an upstream out of what waits but for those from which tasks are sent elsewhere, and notes
// when to look again: in a pause that ends at until, or for a slot.
func (d *dispatcher) holdQueues(upstream string, pause bool, until time.Time, waiting map[string]int) {
	left := slotWait
	if pause {
		left = max(time.Until(until), time.Millisecond)
	}
	for _, lane := range job.Lanes() {
		queue := job.QueueName(upstream, lane)
		if d.divert[queue] {
			continue
		}
		if waiting[queue] > 0 && (d.heldFor == 0 || left < d.heldFor) {
			d.heldFor = left
		}
		delete(waiting, queue)
	}
}

// scan is one look through the queues of an upstream that is held back. Not every task in them can go elsewhere, and those
// that cannot go back to the end of their queues: a scan takes each once.
type scan struct {
	left  map[string]int // tasks still to be taken, by queue
	again time.Time      // when the next scan may begin
}

const (
	// scanPause is how soon a scan follows another, and scanCost what one task more delays it by: tasks that cannot go
	// elsewhere are handled for nothing.
	scanPause = 5 * time.Second
	scanCost  = 20 * time.Millisecond
)

// scan returns how many tasks of each queue of the upstream are still to be taken.
func (d *dispatcher) scan(upstream string, waiting map[string]int) map[string]int {
	if s, ok := d.scans[upstream]; ok && time.Now().Before(s.again) {
		return s.left
	}
	s, total := scan{left: make(map[string]int)}, 0
	for _, lane := range job.Lanes() {
		queue := job.QueueName(upstream, lane)
		s.left[queue] = waiting[queue]
		total += waiting[queue]
	}
	s.again = time.Now().Add(max(scanPause, time.Duration(total)*scanCost))
	d.scans[upstream] = s
	return s.left
}

// otherThan reports whether some upstream that an upstream's pictures may go to takes calls.
func (d *dispatcher) otherThan(upstream string) bool {
	return slices.ContainsFunc(d.elsewhere[upstream], func(u string) bool {
		return d.gate.Allow(u).Most != 0
	})
}

// newPass begins a pass over all queues.
func (d *dispatcher) newPass() {
	d.pass = map[string]struct{}{job.WebhookQueue: {}}
	for _, queues := range d.lanes {
		for _, q := range queues {
			d.pass[q] = struct{}{}
		}
	}
}

// serves reports whether a token names a queue from which a task may be taken now.
func (d *dispatcher) serves(queue string) bool {
	if queue == job.WebhookQueue {
		return d.deliveries.idle()
	}
	u := upstreamOf(queue)
	if !slices.Contains(d.upstreams, u) {
		return false
	}
	return d.gate.Allow(u).Most != 0 && d.slots.open(u)
}

// waiting returns how many tasks each queue has to take, as was asked with the last fetch, or in one round trip; without
// pictures it looks at deliveries only.
//
// Tokens are pushed after their tasks, and left behind where a look found the task first. Once one was seen to be old, all go
// before the queues are looked at, which then tell of each task that had one: cleared says so. In a Redis Cluster commands
// have no order, and the tokens are left to be taken one by one.
func (d *dispatcher) waiting(ctx context.Context, pictures bool) (waiting map[string]int, cleared bool, err error) {
	if waiting, d.ahead = d.ahead, nil; waiting != nil && pictures && !d.stale && time.Since(d.aheadAt) < lookAfter {
		return waiting, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	pipe := d.redis.Pipeline()
	if _, cluster := d.redis.(*redis.ClusterClient); d.stale && pictures && !cluster {
		pipe.Del(ctx, d.wakeLists()...)
		cleared, d.stale = true, false
	}
	read := d.survey(ctx, pipe, pictures)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, false, err //nolint:wrapcheck // logged by recover, which says what was tried
	}
	return read(), cleared, nil
}

// survey adds to a pipeline the question how many tasks each queue has to take, and how upstreams do; read takes the answer once
// the pipeline was sent. A queue paused from the dashboard has nothing: asynq's script answers so too, and asking at once
// again would go on without rest.
func (d *dispatcher) survey(ctx context.Context, pipe redis.Pipeliner, pictures bool) (read func() map[string]int) {
	lengths, paused := make(map[string]*redis.IntCmd), make(map[string]*redis.IntCmd)
	ask := func(queue string) {
		lengths[queue], paused[queue] = pipe.LLen(ctx, pendingKey(queue)), pipe.Exists(ctx, pausedKey(queue))
	}
	if d.deliveries.size() > 0 {
		ask(job.WebhookQueue)
	}
	readGate := func() {}
	if pictures {
		readGate = d.gate.Load(ctx, pipe)
		for _, queues := range d.lanes {
			for _, q := range queues {
				ask(q)
			}
		}
	}
	return func() map[string]int {
		readGate()
		waiting := make(map[string]int, len(lengths))
		for q, n := range lengths {
			if paused[q].Val() == 0 {
				waiting[q] = int(n.Val())
			}
		}
		return waiting
	}
}

// wakeLists returns the wake lists of what this worker serves.
func (d *dispatcher) wakeLists() []string {
	lists := []string{wakeKey}
	for _, u := range d.upstreams {
		lists = append(lists, wakeOfKey(u))
	}
	if d.deliveries.size() > 0 {
		lists = append(lists, wakeOfKey(job.WebhookQueue))
	}
	return lists
}

// await blocks until a token comes, at most idleWait and not beyond the end of a pause, and returns what it says; empty
// where none came, or one that is not about a single task.
func (d *dispatcher) await(ctx context.Context) string {
	if d.backlog {
		// Nothing local ends the wait below: whoever ends a delivery has to push a token.
		d.deliveries.wanted.Store(true)
		if d.deliveries.idle() {
			return ""
		}
	}
	wait := idleWait
	if d.heldFor > 0 {
		wait = min(wait, d.heldFor)
	}
	reply, err := d.pop(ctx, wait)
	if err != nil || len(reply) != 2 {
		return "" // nothing came, the client was closed, or Redis is away: the next look finds out
	}
	if reply[1] == slotToken {
		d.slots.retry(strings.TrimPrefix(strings.TrimPrefix(reply[0], wakeKey), ":"))
		return ""
	}
	return reply[1]
}

// pop takes a token from the wake lists of what this worker serves.
func (d *dispatcher) pop(ctx context.Context, wait time.Duration) ([]string, error) {
	lists := d.wakeLists()
	if wait >= idleWait {
		return d.listen.BLPop(ctx, wait, lists...).Result() //nolint:wrapcheck // not looked at
	}
	// go-redis' own command knows whole seconds only. This one is bounded by the client's read timeout.
	args := []any{"blpop"}
	for _, l := range lists {
		args = append(args, l)
	}
	args = append(args, strconv.FormatFloat(min(wait, slotWait).Seconds(), 'f', 3, 64))
	cmd := redis.NewStringSliceCmd(ctx, args...)
	_ = d.listen.Process(ctx, cmd)
	return cmd.Result() //nolint:wrapcheck // not looked at
}

// awaitLocalSlot blocks until a slot of this process comes free, at most idleWait.
func (d *dispatcher) awaitLocalSlot() {
	timer := time.NewTimer(idleWait)
	defer timer.Stop()
	select {
	case <-d.stop:
	case <-d.slots.freed:
	case <-d.deliveries.freed:
	case <-timer.C:
	}
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
