package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

const (
	// maxRetry is a backstop only: attempts are counted in the job's record.
	maxRetry = 1000
	// taskTimeout is a backstop only: calls are bounded by the worker. asynq would run a task that outlives it again.
	taskTimeout = 24 * time.Hour
	// readTimeout bounds a look at the queues.
	readTimeout = 3 * time.Second
)

// Client puts tasks into the queues and looks at them. It is safe for concurrent use.
type Client struct {
	redis  redis.UniversalClient
	asynq  *asynq.Client
	queues sync.Map // names of those in which asynq was asked to queue something: it lists them then
}

// NewClient returns a client on the connection, which stays the caller's to close.
func NewClient(client redis.UniversalClient) *Client {
	return &Client{redis: client, asynq: asynq.NewClientFromRedisClient(recorder(client))}
}

// Enqueue makes tasks wait in their queues and wakes a worker for each. A task that is there already is no error, also
// where it is archived: who wants that one to run again removes it first.
func (c *Client) Enqueue(ctx context.Context, tasks ...job.Task) error {
	if _, cluster := c.redis.(*redis.ClusterClient); cluster { // where no script can do it all
		return c.enqueueEach(ctx, tasks)
	}
	enqueue, insert, err := c.insert(ctx, tasks)
	if err != nil || enqueue == nil {
		return err
	}
	for _, t := range tasks {
		insert.Args = append(insert.Args, t.Queue)
	}
	if err := enqueue.script.Run(ctx, c.redis, nil, insert.Args...).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("queue task %s and %d more: %w", tasks[0].ID(), len(tasks)-1, err)
	}
	return nil
}

// enqueueEach does it one by one, a token after its task.
func (c *Client) enqueueEach(ctx context.Context, tasks []job.Task) error {
	for _, t := range tasks {
		if err := c.ask(ctx, t); err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
			return fmt.Errorf("queue task %s: %w", t.ID(), err)
		}
		_ = wake(ctx, c.redis, wakeOfKey(upstreamOf(t.Queue)), t.Queue) // else a worker will look for itself
	}
	return nil
}

// ask has asynq queue a task.
func (c *Client) ask(ctx context.Context, t job.Task) error {
	task, err := encodeTask(t)
	if err != nil {
		return err
	}
	_, err = c.asynq.EnqueueContext(ctx, task, asynq.Queue(t.Queue), asynq.TaskID(t.ID()),
		asynq.MaxRetry(maxRetry), asynq.Timeout(taskTimeout))
	return err //nolint:wrapcheck // its callers say what was tried
}

// wake pushes tokens on a wake list: each wakes one idle worker.
func wake(ctx context.Context, client redis.UniversalClient, list string, tokens ...string) error {
	pipe := client.Pipeline()
	push(ctx, pipe, list, tokens...)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("wake workers: %w", err)
	}
	return nil
}

func push(ctx context.Context, pipe redis.Pipeliner, list string, tokens ...string) {
	pipe.LPush(ctx, list, tokens)
	pipe.LTrim(ctx, list, 0, wakeCap-1)
}

// Resume wakes the workers for an upstream that was held back, or that they should look at again: as many as there are
// processes, of which each looks once.
func (c *Client) Resume(ctx context.Context, upstream string) error {
	processes, err := c.redis.HLen(ctx, paceKey).Result()
	if err != nil {
		return fmt.Errorf("count the workers: %w", err)
	}
	tokens := min(max(int(processes), 1), wakeCap)
	return wake(ctx, c.redis, wakeOfKey(upstream), slices.Repeat([]string{slotToken}, tokens)...)
}

// leaseGrace allows for clocks that differ between machines, as asynq's recoverer does.
const leaseGrace = 30 * time.Second

// Lost reports for each task whether no worker will get it soon: asynq does not know it, has archived it, or keeps it as
// active with a lease that ran out (its worker died) or without one (hibiken/asynq#1144: its recoverer never finds it).
// The caller knows that nobody is drawing the picture, or has still to tell of the job.
func (c *Client) Lost(ctx context.Context, tasks []job.Task) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	pipe := c.redis.Pipeline()
	states := make([]*redis.StringCmd, len(tasks))
	leases := make([]*redis.FloatCmd, len(tasks))
	for i, t := range tasks {
		// The state first: a task taken in between then shows as pending, not as active without a lease.
		states[i] = pipe.HGet(ctx, taskKey(t.Queue, t.ID()), "state")
		leases[i] = pipe.ZScore(ctx, leaseKey(t.Queue), t.ID())
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("look for %d tasks: %w", len(tasks), err)
	}
	expired := float64(time.Now().Add(-leaseGrace).Unix())
	lost := make([]bool, len(tasks))
	for i := range tasks {
		switch states[i].Val() {
		case "pending", "scheduled", "retry":
		case "active":
			lost[i] = leases[i].Err() != nil || leases[i].Val() < expired
		default: // no such task, archived, completed
			lost[i] = true
		}
	}
	return lost, nil
}
