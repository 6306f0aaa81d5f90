package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Begin says which calls begin as their tasks are taken, in one script: it saves a script and a round trip for each.
type Begin struct {
	Records *job.Store
	// Rules holds, by upstream, those of its calls. Calls to others begin when they are made. So have to those that are not
	// repeated when they may have been paid for: where the reply that a call began is lost, and the process with it, it looks
	// as if it were one of these.
	Rules map[string]job.StartOptions
}

// Begun is a call that began as its task was taken.
type Begun struct {
	job.Start
	CallID string
	Asked  time.Time // when it was asked for
}

// beginner has calls begin as their tasks are taken.
type beginner struct {
	Begin
	off     bool             // it has none
	script  string           // takes and begins; empty until asynq's is known, which is in it
	digest  string           // of the script
	sent    *redis.StringCmd // by which Redis should know it; nil: it may not
	self    string           // begins the ids of this process' calls
	calls   int64
	unheard []*beginning // their replies did not come, or nobody asks for the tasks
	tries   int          // to take those back that failed
}

// reclaimTries is how often it is tried to take calls back while Redis answers. What fails then is left to the marks' end.
const reclaimTries = 5

// beginning is a call that was to begin.
type beginning struct {
	callID string
	queue  string
	asked  time.Time
	rules  job.StartOptions
	answer []any // of the record; nil: not heard
}

func newBeginner(b Begin, client redis.UniversalClient) beginner {
	// The keys of tasks and records are on different servers of a cluster.
	if _, cluster := client.(*redis.ClusterClient); cluster || b.Records == nil || len(b.Rules) == 0 {
		return beginner{off: true}
	}
	return beginner{Begin: b, self: rand.Text()}
}

// knows reports whether asynq's script for a dequeue is known, if it has to be. asynq sends the digest first and the text
// where that is not known.
func (b *beginner) knows(dequeue redis.Cmder) bool {
	if b.off || b.script != "" {
		return true
	}
	text, ok := scriptText(dequeue)
	if ok {
		b.script = job.TakeScript(text)
		b.digest = redis.NewScript(b.script).Hash()
	}
	return ok
}

// untoldError is Redis' answer to a digest that it does not know.
type untoldError struct{}

// Error returns Redis' words.
func (untoldError) Error() string { return "NOSCRIPT No matching script." }

// RedisError says that it is one of Redis'.
func (untoldError) RedisError() {}

func untold(cmd redis.Cmder) error {
	cmd.SetErr(untoldError{})
	return untoldError{}
}

// teach adds the script to a pipeline, if Redis may not know it.
func (b *beginner) teach(ctx context.Context, pipe redis.Pipeliner) {
	if b.script != "" && b.sent == nil {
		b.sent = pipe.ScriptLoad(ctx, b.script)
	}
}

// unlearn is called when Redis did not know the script. Where it cannot learn it, calls begin when they are made.
func (d *dispatcher) unlearn(ctx context.Context) {
	if d.sent == nil {
		return
	}
	if _, refused := errors.AsType[redis.Error](d.sent.Err()); refused {
		d.log.ErrorContext(ctx, "redis refuses the script that takes tasks and begins calls", slog.Any("error", d.sent.Err()))
		d.script, d.off = "", true
	}
	d.sent = nil
}

// askFor makes of asynq's question for a task of the queue one that also begins the task's call, if that may begin.
func (d *dispatcher) askFor(args []any, queue string, s *slot) []any {
	if d.script == "" {
		return args
	}
	args[0], args[1] = "evalsha", d.digest
	rules, ok := d.rulesFor(queue, s)
	if !ok {
		return append(args, "")
	}
	d.calls++
	s.began = &beginning{callID: d.self + "." + strconv.FormatInt(d.calls, 36), queue: queue, asked: time.Now(), rules: rules}
	return append(args, d.Records.TakeArgs(s.began.callID, upstreamOf(queue), rules, s.began.asked)...)
}

// rulesFor returns those of a call that may begin as its task is taken. One that tries an upstream, or may be held back, does not:
// what becomes of it is decided later.
func (d *dispatcher) rulesFor(queue string, s *slot) (o job.StartOptions, ok bool) {
	if queue == job.WebhookQueue || s.diverted || s.probe != "" {
		return o, false
	}
	u := upstreamOf(queue)
	o, ok = d.Rules[u]
	return o, ok && d.gate.Allow(u).Most < 0
}

// heard reads the reply to a question of askFor: what is left of it is asynq's reply.
func (d *dispatcher) heard(ctx context.Context, f fetched) error {
	err := f.reply.Err()
	if d.script == "" {
		return err //nolint:wrapcheck // asynq's to see
	}
	began := f.slot.began
	f.slot.began = nil
	if err != nil {
		if _, answered := errors.AsType[redis.Error](err); !answered {
			d.miss(began)
		}
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			d.unlearn(ctx)
		}
		return err //nolint:wrapcheck // asynq's to see
	}
	reply, err := f.reply.Slice()
	if err != nil {
		d.miss(began)
		return err //nolint:wrapcheck // logged by recover, which says what was tried
	}
	message, answer, err := d.Records.Taken(reply)
	if err != nil {
		d.miss(began)
		return err
	}
	f.reply.SetVal(message)
	if answer != nil && began != nil {
		began.answer = answer
		f.slot.began = began
	}
	return nil
}

// miss notes a call, if there is one, that may have begun and will not be made.
func (b *beginner) miss(began *beginning) {
	if began != nil {
		b.unheard = append(b.unheard, began)
	}
}

// begun returns the call; nil where there is none, or none that can be read.
func (b *beginning) begun() *Begun {
	if b == nil || b.answer == nil {
		return nil
	}
	start, err := job.DecodeStart(b.answer)
	if err != nil {
		return nil // the picture is nobody's when the mark lapses
	}
	return &Begun{Start: start, CallID: b.callID, Asked: b.asked}
}

// reclaim takes back the calls that are not made although they began, as the replies were lost or nobody asked for the tasks,
// and gives the tasks back. Tasks that were taken unheard without a call come back when their leases run out.
func (d *dispatcher) reclaim(ctx context.Context) error {
	err := d.tryReclaim(ctx)
	if err == nil {
		d.tries = 0
		return nil
	}
	if d.tries++; d.tries < reclaimTries {
		return err
	}
	d.log.ErrorContext(ctx, "calls that were not made are not taken back; their pictures are drawn later", slog.Any("error", err))
	d.unheard, d.tries = nil, 0
	return nil
}

func (d *dispatcher) tryReclaim(ctx context.Context) error {
	for len(d.unheard) > 0 {
		queue := d.unheard[0].queue
		active, err := d.redis.LRange(ctx, activeKey(queue), 0, -1).Result()
		if err != nil {
			return err //nolint:wrapcheck // logged, with what was tried
		}
		owned, err := d.Records.Owned(ctx, queue, active)
		if err != nil {
			return err
		}
		var others []*beginning
		for _, b := range d.unheard {
			if b.queue != queue {
				others = append(others, b)
				continue
			}
			if task, ok := owned[b.callID]; ok {
				if err := d.takeBack(ctx, task, b); err != nil {
					return err
				}
			}
		}
		d.unheard = others
	}
	return nil
}

// takeBack takes back a call that is not made, and gives its task back.
func (d *dispatcher) takeBack(ctx context.Context, t job.Task, b *beginning) error {
	upstream := upstreamOf(b.queue)
	begun := b.begun()
	if begun == nil {
		start, err := d.Records.Start(ctx, t, b.callID, upstream, b.rules) // the same answer again
		if err != nil {
			return err
		}
		begun = &Begun{Start: start}
	}
	if err := d.Records.NotMade(ctx, t, b.callID, upstream, begun.Start); err != nil {
		return err
	}
	return d.giveTaskBack(ctx, b.queue, t.ID())
}
