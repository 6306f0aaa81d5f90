package redisconn

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// leastPatience is the time that must be left for commands to travel with others: they share the earliest deadline.
	leastPatience = time.Second
	// maxFlying is how many round trips are under way at once. More make them smaller, and calls a second fewer.
	maxFlying = 1
	// maxCombined bounds the commands of one round trip: replies to those at its head wait for those at its end.
	maxCombined = 512
)

// Combine makes commands that are sent at the same time by different goroutines share a round trip. One round trip is under
// way at a time; what comes meanwhile goes together in the next. A lone caller waits for nobody, and under load a connection
// carries many commands with each system call, here and in Redis, which is most of what a small command costs.
//
// The commands of a pipeline stay together and in order. Nothing that blocks may be sent by the client. Commands whose
// context ends within a second go by themselves; the others are bound by the earliest deadline of those they travel with.
//
// go-redis' own AutoPipeliner is not used as it waits without a context: who is promised an answer within two seconds would
// wait for as long as a connection may take.
func Combine(client redis.UniversalClient) { client.AddHook(combineHook{client}) }

type combineHook struct{ client redis.UniversalClient }

// DialHook changes nothing.
func (combineHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook makes pipelines of the single commands that every request sends.
func (h combineHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch strings.ToLower(cmd.Name()) {
		case "evalsha", "hget", "hmget", "hgetall":
			pipe := h.client.Pipeline()
			_ = pipe.Process(ctx, cmd) // it only queues
			_, err := pipe.Exec(ctx)
			return err //nolint:wrapcheck // a hook passes errors on as they are
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook combines pipelines, but for transactions, which have to be by themselves.
func (combineHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	c := &combiner{send: next}
	return c.exec
}

// combiner sends one batch of commands at a time. The goroutine of one of its callers does it, for all; when it is done,
// that of the first who came meanwhile goes on.
type combiner struct {
	send redis.ProcessPipelineHook

	mu      sync.Mutex
	flying  int
	waiting []*party
}

// party is the commands of one caller.
type party struct {
	cmds     []redis.Cmder
	deadline time.Time
	turn     chan bool // true: it is to send for all; false: its commands were sent
	err      error
}

func (c *combiner) exec(ctx context.Context, cmds []redis.Cmder) error {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		deadline = time.Now().Add(2 * ioTimeout)
	}
	if time.Until(deadline) < leastPatience || len(cmds) > maxCombined/2 || cmds[0].Name() == "multi" {
		return c.send(ctx, cmds)
	}
	p := &party{cmds: cmds, deadline: deadline}
	if !c.wait(ctx, p) {
		return p.err
	}
	c.fly(ctx, p)
	return p.err
}

// wait returns true when it is p's turn to send; false when somebody has sent p's commands, or ctx ended before.
func (c *combiner) wait(ctx context.Context, p *party) (lead bool) {
	c.mu.Lock()
	if c.flying < maxFlying {
		c.flying++
		c.mu.Unlock()
		return true
	}
	p.turn = make(chan bool, 1)
	c.waiting = append(c.waiting, p)
	c.mu.Unlock()
	select {
	case lead = <-p.turn:
		return lead
	case <-ctx.Done():
	}
	if c.withdraw(p) {
		p.err = ctx.Err()
		return false
	}
	return <-p.turn // under way: nobody else may touch the commands until they are back
}

// withdraw takes back commands that were not sent yet.
func (c *combiner) withdraw(p *party) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, p)
	if i < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return true
}

// fly sends the commands of the leader and of those who wait, and then lets the next one lead.
func (c *combiner) fly(ctx context.Context, leader *party) {
	parties, cmds, deadline := c.board(leader)
	sent := errUnsent
	defer func() { // also where a hook panics, or the others would wait for ever
		for _, p := range parties {
			p.settle(sent)
		}
		for _, p := range parties[1:] {
			p.turn <- false
		}
		c.pass()
	}()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	err := c.send(ctx, cmds)
	if sent = err; firstError(cmds) != nil {
		sent = nil // each command knows what became of it
	}
}

var errUnsent = errors.New("the commands were not sent")

// board takes on as many of those who wait as there is room for.
func (c *combiner) board(leader *party) (parties []*party, cmds []redis.Cmder, deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	parties, cmds, deadline = append(parties, leader), slices.Clip(leader.cmds), leader.deadline
	n := 0
	for _, p := range c.waiting {
		if len(cmds)+len(p.cmds) > maxCombined {
			break
		}
		cmds = append(cmds, p.cmds...)
		if p.deadline.Before(deadline) {
			deadline = p.deadline
		}
		n++
	}
	parties = append(parties, c.waiting[:n]...)
	c.waiting = slices.Delete(c.waiting, 0, n)
	return parties, cmds, deadline
}

// pass lets the first who waits lead.
func (c *combiner) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.flying--
		return
	}
	c.waiting[0].turn <- true
	c.waiting = slices.Delete(c.waiting, 0, 1)
}

// settle gives a caller the error that its own pipeline would have had. unsent is there where no command knows one.
func (p *party) settle(unsent error) {
	if p.err = firstError(p.cmds); p.err == nil {
		p.err = unsent
	}
}

func firstError(cmds []redis.Cmder) error {
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return err //nolint:wrapcheck // a hook passes errors on as they are
		}
	}
	return nil
}
