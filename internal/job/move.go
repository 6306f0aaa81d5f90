package job

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Move says why a picture is to go to another upstream, and to which.
type Move struct {
	From string // the upstream it waits for
	// Refused says that this one will not draw it, for reasons of its own.
	Refused bool
	// Repeatable says that the last call, if any, may be repeated although it may have been paid for. Who does not know
	// leaves that to the next upstream's rule.
	Repeatable  bool
	To          []string // in the order in which they are tried
	MaxAttempts int      // for each of them
}

// Moved is what came of a [Move].
type Moved struct {
	// Task is the one to queue in place of the present one. It is there only where ok.
	Task Task
	OK   bool
	// None says that no upstream is left that may be asked.
	None bool
}

// Move sends a picture that is not being drawn to another upstream. Where neither OK nor None is set, there is nothing to
// do: the task is not the picture's present one. Moving twice is harmless.
func (s *Store) Move(ctx context.Context, t Task, m Move) (Moved, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	args := []any{t.Image, t.Generation, m.From, m.Refused, m.MaxAttempts, string(t.Lane()), m.Repeatable}
	for _, u := range m.To {
		args = append(args, u)
	}
	reply, err := moveScript.Run(ctx, s.client, []string{recordKey(t.Job)}, args...).Slice()
	if err != nil {
		return Moved{}, fmt.Errorf("move task %s: %w", t.ID(), err)
	}
	if len(reply) != 3 {
		return Moved{}, fmt.Errorf("move task %s: %w", t.ID(), errShape)
	}
	gen, ok1 := reply[0].(int64)
	queue, ok2 := reply[1].(string)
	class, ok3 := reply[2].(string)
	switch {
	case !ok1 || !ok2 || !ok3:
		return Moved{}, fmt.Errorf("move task %s: %w", t.ID(), errShape)
	case gen <= 0:
		return Moved{None: gen < 0}, nil
	}
	next := Task{Job: t.Job, Image: t.Image, Generation: gen, Queue: queue, Owner: t.Owner}
	s.settle(ctx, func(pipe redis.Pipeliner) { waits(ctx, pipe, next, Class(class), time.Now().Add(s.clockSkew())) })
	return Moved{Task: next, OK: true}, nil
}

// Progress notes how much of a picture the call has drawn, from 0 to 1. A call that is no longer the picture's changes
// nothing.
func (s *Store) Progress(ctx context.Context, m Mark, done float64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := progressScript.Run(ctx, s.client, []string{recordKey(m.Task.Job)},
		m.Task.Image, m.CallID, int(100*done), string(m.Task.Job), EventsChannel).Err()
	if err != nil {
		return fmt.Errorf("note the progress of task %s: %w", m.Task.ID(), err)
	}
	return nil
}
