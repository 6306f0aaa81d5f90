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
	// leastPatience is the time that must be left for commands to travel with others, whose deadline they share.
	leastPatience = time.Second
	// mostApart is how far apart the deadlines of commands may be that travel together. It is less than what lies between the
	// latest moment at which a job's record may be written and the deadline of that command (internal/job): a command whose
	// caller was told that it failed must not have its effect after that.
	mostApart = 300 * time.Millisecond
	// mostWait is how long commands wait for others to be back; then they go by themselves. The connection of those may be
	// dead.
	mostWait = 250 * time.Millisecond
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
// context ends within a second go by themselves, and so do those that have waited for a while; the others are bound by the
// earliest of the deadlines of those they travel with, which are not far apart.
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
	c := &combiner{send: next, patience: mostWait}
	return c.exec
}

// combiner sends one batch of commands at a time. The goroutine of one of its callers does it, for all; when it is done,
// that of the first who came meanwhile goes on.
type combiner struct {
	send     redis.ProcessPipelineHook
	patience time.Duration // mostWait

	mu      sync.Mutex
	flying  int
	waiting []*party
}

// party is the commands of one caller.
type party struct {
	cmds     []redis.Cmder
	deadline time.Time
	turn     chan outcome
	err      error
}

func (c *combiner) exec(ctx context.Context, cmds []redis.Cmder) error {
	deadline := time.Now().Add(ioTimeout)
	if own, bounded := ctx.Deadline(); bounded && own.Before(deadline) {
		deadline = own
	}
	if time.Until(deadline) < leastPatience || len(cmds) > maxCombined/2 || cmds[0].Name() == "multi" {
		return c.send(ctx, cmds)
	}
	p := &party{cmds: cmds, deadline: deadline}
	switch c.wait(ctx, p) {
	case leads:
		c.fly(ctx, p)
	case alone:
		return c.send(ctx, cmds)
	case served:
	}
	return p.err
}

// outcome is what a party's wait for its turn came to.
type outcome int

const (
	served outcome = iota // its commands were sent, or its context ended before
	leads                 // it is to send for all who wait
	alone                 // it has waited long enough
)

func (c *combiner) wait(ctx context.Context, p *party) outcome {
	c.mu.Lock()
	if c.flying < maxFlying {
		c.flying++
		c.mu.Unlock()
		return leads
	}
	p.turn = make(chan outcome, 1)
	c.waiting = append(c.waiting, p)
	c.mu.Unlock()
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	select {
	case o := <-p.turn:
		return o
	case <-timer.C:
		if c.withdraw(p) {
			return alone
		}
	case <-ctx.Done():
		if c.withdraw(p) {
			p.fail(ctx.Err())
			return served
		}
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
			p.turn <- served
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

// board takes on those of the first who wait whose deadlines are near the leader's, as many as there is room for.
func (c *combiner) board(leader *party) (parties []*party, cmds []redis.Cmder, deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	parties, cmds = append(parties, leader), slices.Clip(leader.cmds)
	first, last := leader.deadline, leader.deadline
	c.waiting = slices.DeleteFunc(c.waiting, func(p *party) bool {
		from, to := first, last
		if p.deadline.Before(from) {
			from = p.deadline
		}
		if p.deadline.After(to) {
			to = p.deadline
		}
		if to.Sub(from) > mostApart || len(cmds)+len(p.cmds) > maxCombined {
			return false
		}
		first, last = from, to
		parties, cmds = append(parties, p), append(cmds, p.cmds...)
		return true
	})
	return parties, cmds, first
}

// pass lets the first who waits lead.
func (c *combiner) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.flying--
		return
	}
	c.waiting[0].turn <- leads
	c.waiting = slices.Delete(c.waiting, 0, 1)
}

// settle gives a caller the error that its own pipeline would have had. unsent is there where no command knows one.
func (p *party) settle(unsent error) {
	if p.err = firstError(p.cmds); p.err == nil && unsent != nil {
		p.fail(unsent)
	}
}

// fail tells a caller, and each of its commands, that they were not sent.
func (p *party) fail(err error) {
	p.err = err
	for _, cmd := range p.cmds {
		cmd.SetErr(err)
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
