package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// maxFetch bounds how many tasks are taken in one round trip.
const maxFetch = 32

// pick is a task that is to be taken from a queue.
type pick struct {
	queue string
	after credits // of the lanes, if it is there
}

// fetched is a task that was taken and that asynq has still to ask for, which it does at once.
type fetched struct {
	pick
	reply *redis.Cmd
	slot  *slot
}

// choose says which tasks to take of those that wait: as many as there are slots for, in the order in which one after the
// other would be taken. Of upstreams that are spared calls, and of those whose tasks are sent elsewhere, it is one at a time.
func (d *dispatcher) choose(waiting map[string]int, pictures, deliveries bool) (picks []pick) {
	webhooks := waiting[job.WebhookQueue]
	d.backlog = webhooks > 0 && !deliveries
	room := min(maxFetch, d.room())
	for range min(webhooks, d.deliveries.left(), room) {
		picks = append(picks, pick{queue: job.WebhookQueue})
	}
	if !pictures {
		return picks
	}
	after := d.credits
	for range min(d.slots.left(), room-len(picks)) {
		var lanes [len(laneWeights)]bool
		for i, queues := range d.lanes {
			for _, q := range queues {
				lanes[i] = lanes[i] || waiting[q] > 0
			}
		}
		lane, paid, ok := after.pick(lanes)
		if after = paid; !ok {
			break
		}
		queue := d.oneOf(d.lanes[lane], waiting)
		picks = append(picks, pick{queue, after})
		waiting[queue]--
		if u := upstreamOf(queue); d.gate.Allow(u).Most >= 0 {
			for _, l := range job.Lanes() {
				delete(waiting, job.QueueName(u, l))
			}
		}
	}
	if len(picks) == 0 {
		d.credits = after // a lane that has nothing loses what it had
	}
	return picks
}

// oneOf returns one of a lane's queues in which something waits: upstreams take turns by chance.
func (d *dispatcher) oneOf(queues []string, waiting map[string]int) string {
	some := make([]string, 0, len(queues))
	for _, q := range queues {
		if waiting[q] > 0 {
			some = append(some, q)
		}
	}
	return some[rand.IntN(len(some))] //nolint:gosec // G404: nobody gains by guessing it
}

// room is how many more tasks asynq has a goroutine for.
func (d *dispatcher) room() int { return d.asynqSlots - int(d.handed.Load()) }

// fetch takes a slot for each pick, and the tasks in one round trip, with asynq's own script: cmd is its question for one.
// An error is for asynq to see.
func (d *dispatcher) fetch(ctx context.Context, cmd redis.Cmder, asked string, picks []pick) error {
	taken := make([]fetched, 0, len(picks))
	full := make(map[string]bool) // upstreams that have no slot; the next look leaves them out
	for _, p := range picks {
		u := upstreamOf(p.queue)
		if full[u] {
			continue
		}
		slot, err := d.take(ctx, p.queue)
		if err != nil {
			for _, f := range taken {
				f.slot.release(ctx)
			}
			d.recover(ctx, err) // which may take long: what was asked is out of date then
			return nil
		}
		if slot == nil {
			full[u] = true
			continue
		}
		reply := redis.NewCmd(ctx, d.askFor(argsFor(cmd.Args(), asked, p.queue), p.queue, slot)...)
		taken = append(taken, fetched{p, reply, slot})
	}
	if len(taken) == 0 {
		return nil
	}
	pipe := d.asynq.Pipeline()
	d.teach(ctx, pipe)
	for _, f := range taken {
		_ = pipe.Process(ctx, f.reply) // it only queues
	}
	d.exchange(ctx, pipe, len(taken) == maxFetch)
	var failure error
	for _, f := range taken {
		switch err := d.heard(ctx, f); {
		case err == nil:
			d.fetched = append(d.fetched, f)
			if f.queue != job.WebhookQueue {
				d.credits = f.after
			}
			if f.slot.diverted {
				d.scans[upstreamOf(f.queue)].left[f.queue]--
			}
			continue
		case !errors.Is(err, redis.Nil):
			failure = err
		}
		f.slot.release(ctx)
	}
	if failure == nil || len(d.fetched) > 0 {
		return nil
	}
	if !redis.HasErrorPrefix(failure, "NOSCRIPT") { // asynq sends the script's text next
		d.recover(ctx, failure)
	}
	return failure
}

// exchange sends a pipeline, each reply of which has its own error. Where so many tasks were there that more are likely,
// the next look goes with it: they need not wait for one.
func (d *dispatcher) exchange(ctx context.Context, pipe redis.Pipeliner, more bool) {
	if !more {
		_, _ = pipe.Exec(ctx)
		return
	}
	before := pipe.Len()
	asked, read := time.Now(), d.survey(ctx, pipe, true)
	replies, _ := pipe.Exec(ctx)
	if !slices.ContainsFunc(replies[before:], func(r redis.Cmder) bool { return r.Err() != nil }) {
		d.ahead, d.aheadAt = read(), asked
	}
}

// argsFor returns the arguments of asynq's question for a task of one queue as those for another's.
func argsFor(args []any, from, to string) []any {
	changed := make([]any, len(args))
	for i, a := range args {
		if s, ok := a.(string); ok && i > 2 { // behind the command, the script and the number of keys
			a = strings.Replace(s, "{"+from+"}", "{"+to+"}", 1)
		}
		changed[i] = a
	}
	return changed
}

// handOver answers asynq's question with a task that was fetched from the queue; nothing where there is none.
func (d *dispatcher) handOver(ctx context.Context, cmd redis.Cmder, queue string) error {
	for i, f := range d.fetched {
		if f.queue != queue {
			continue
		}
		d.fetched = append(d.fetched[:i], d.fetched[i+1:]...)
		if len(d.fetched) == 0 {
			d.pass = nil // the next question begins another
		}
		if answer, ok := cmd.(*redis.Cmd); ok {
			answer.SetVal(f.reply.Val())
		}
		id, ok := taskIDOf(f.reply)
		if !ok {
			// asynq cannot read the message either; its recoverer will find the task.
			f.slot.release(ctx)
			d.miss(f.slot.began)
			return nil
		}
		d.handed.Add(1)
		d.mu.Lock()
		d.taken[id] = f.slot
		d.mu.Unlock()
		return nil
	}
	return nothing(cmd)
}

// giveBackScript makes a task wait again that was taken, as asynq does at its own shutdown: at the head of its queue.
//
//	KEYS[1] active, KEYS[2] leases, KEYS[3] pending, KEYS[4] task
//	ARGV    task id
//	returns 1, or 0 where it is not taken
var giveBackScript = redis.NewScript(`
if redis.call("LREM", KEYS[1], 0, ARGV[1]) == 0 then return 0 end
redis.call("ZREM", KEYS[2], ARGV[1])
redis.call("RPUSH", KEYS[3], ARGV[1])
redis.call("HSET", KEYS[4], "state", "pending")
return 1
`)

// giveBack returns what was fetched for an asynq that asks for no more.
func (d *dispatcher) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for _, f := range d.fetched {
		if ctx.Err() == nil { // else Redis is away, and leases bring slots back, too
			f.slot.release(ctx)
		}
		d.miss(f.slot.began)
	}
	err := d.reclaim(ctx)
	for _, f := range d.fetched {
		if id, ok := taskIDOf(f.reply); ok && ctx.Err() == nil { // else Redis is away: leases bring the rest back
			err = errors.Join(err, d.giveTaskBack(ctx, f.queue, id))
		}
	}
	d.fetched = nil
	if err != nil {
		d.log.WarnContext(ctx, "tasks were not given back; their leases bring them back", slog.Any("error", err))
	}
}

// giveTaskBack makes a task wait again, if it is taken.
func (d *dispatcher) giveTaskBack(ctx context.Context, queue, id string) error {
	keys := []string{activeKey(queue), leaseKey(queue), pendingKey(queue), taskKey(queue, id)}
	n, err := giveBackScript.Run(ctx, d.redis, keys, id).Int()
	if err != nil {
		return fmt.Errorf("give task %s back: %w", id, err)
	}
	d.wake(ctx, queue, n)
	return nil
}
