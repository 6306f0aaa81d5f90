package queue

import (
	"context"
	"fmt"
	"net"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// asynq's client sends each task by itself, in a round trip of its own. To let tasks travel with the record of their job, the
// command that it would send is noted in place of being sent, and goes into a pipeline as it is.

// recorder returns a client for asynq that hands commands to another, but for those that are to be noted.
func recorder(client redis.UniversalClient) *redis.Client {
	// It never connects, and runs nothing.
	c := redis.NewClient(&redis.Options{MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	c.AddHook(recordHook{client})
	return c
}

type recordHook struct{ client redis.UniversalClient }

// noteKey is the key of a *redis.Cmd pointer in the context of a command that is to be noted.
type noteKey struct{}

// record returns the command with which asynq would queue a task.
func (c *Client) record(ctx context.Context, t job.Task) (*redis.Cmd, error) {
	var note *redis.Cmd
	if err := c.ask(context.WithValue(ctx, noteKey{}, &note), t); err != nil {
		return nil, fmt.Errorf("queue task %s: %w", t.ID(), err)
	}
	if note == nil {
		return nil, fmt.Errorf("queue task %s: asynq sent no script", t.ID())
	}
	return note, nil
}

// DialHook changes nothing.
func (recordHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook notes a script that is to be noted, as one that queued the task, and hands over the rest.
func (h recordHook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		note, ok := ctx.Value(noteKey{}).(**redis.Cmd)
		script, is := cmd.(*redis.Cmd)
		if !ok || !is || cmd.Name() != "evalsha" {
			return h.client.Process(ctx, cmd)
		}
		*note = redis.NewCmd(ctx, cmd.Args()...)
		script.SetVal(int64(1))
		return nil
	}
}

// ProcessPipelineHook changes nothing: asynq's client sends no pipelines.
func (recordHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
