package redisconn

import (
	"context"
	"runtime"
	"time"

	"github.com/redis/go-redis/v9"
)

// Combiner combines pipelines.
type Combiner struct{ c *combiner }

// NewCombiner returns a combiner that sends with send, and whose commands wait at most for patience.
func NewCombiner(send redis.ProcessPipelineHook, patience time.Duration) Combiner {
	return Combiner{&combiner{send: send, patience: patience}}
}

// Exec runs a pipeline.
func (c Combiner) Exec(ctx context.Context, cmds ...redis.Cmder) error { return c.c.exec(ctx, cmds) }

// AwaitWaiting returns once so many callers wait for the round trip that is under way.
func (c Combiner) AwaitWaiting(n int) {
	for {
		c.c.mu.Lock()
		waiting := len(c.c.waiting)
		c.c.mu.Unlock()
		if waiting >= n {
			return
		}
		runtime.Gosched()
	}
}
