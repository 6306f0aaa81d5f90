package queue

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// asynq's client sends each task by itself, in a round trip of its own. To let a task be queued by the script that makes its
// job, asynq's script is noted in place of being run, and becomes a part of that one as it is.

// recorder returns a client for asynq that hands commands to another, but for those that are to be noted.
func recorder(client redis.UniversalClient) *redis.Client {
	// It never connects, and runs nothing.
	c := redis.NewClient(&redis.Options{MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	c.AddHook(&recordHook{client: client})
	return c
}

// note is what asynq would run to queue a task.
type note struct {
	enqueue *enqueue // made of its script
	args    []any
}

// noteKey is the key of a *note in the context of a script that is to be noted.
type noteKey struct{}

// record returns what asynq would run to queue a task.
func (c *Client) record(ctx context.Context, t job.Task) (n note, err error) {
	if err := c.ask(context.WithValue(ctx, noteKey{}, &n), t); err != nil {
		return n, fmt.Errorf("queue task %s: %w", t.ID(), err)
	}
	if n.enqueue == nil {
		return n, fmt.Errorf("queue task %s: asynq ran another script than expected", t.ID())
	}
	return n, nil
}

type recordHook struct {
	client  redis.UniversalClient
	enqueue atomic.Pointer[enqueue] // once asynq's script was seen
}

// DialHook changes nothing.
func (*recordHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook notes a script that is to be noted, as one that queued the task, and hands over the rest. It says at first that
// the script is not known: asynq sends its text then.
func (h *recordHook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		n, noting := ctx.Value(noteKey{}).(*note)
		_, args, isScript := script(cmd, 2, 3)
		reply, ok := cmd.(*redis.Cmd)
		if !noting || !isScript || !ok {
			return h.client.Process(ctx, cmd)
		}
		if text, _ := cmd.Args()[1].(string); cmd.Name() == "eval" {
			h.enqueue.Store(newEnqueue(text))
		}
		if n.enqueue = h.enqueue.Load(); n.enqueue == nil {
			return redis.ErrNoScript
		}
		n.args = args
		reply.SetVal(int64(1))
		return nil
	}
}

// ProcessPipelineHook changes nothing: asynq's client sends no pipelines.
func (*recordHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
