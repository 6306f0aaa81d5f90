package queue

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// removeReach is how far from each end of a queue a task is looked for that is to be removed. A list has to be walked to a
// task in it, at some 50 ns a step: to the end of 100,000 that is 5 ms in which Redis does nothing else.
const removeReach = 1000

// removeScript does what asynq's does that deletes a task, but for one that waits far from both ends of a long queue: that
// one stays.
//
//	KEYS[1] task
//	ARGV    task id, prefix of the queue's keys, how far from each end it is looked for
//	returns 1, or 0 where the task is not there, runs, or stays
var removeScript = redis.NewScript(`
local task = redis.call("HMGET", KEYS[1], "state", "unique_key")
local state, unique, id = task[1], task[2], ARGV[1]
if not state or state == "active" then return 0 end
local key, removed = ARGV[2] .. state, 0
if state == "pending" then
  for _, from in ipairs({1, -1}) do
    if removed == 0 and redis.call("LPOS", key, id, "RANK", from, "MAXLEN", ARGV[3]) then
      removed = redis.call("LREM", key, from, id)
    end
  end
else
  removed = redis.call("ZREM", key, id)
end
if removed == 0 then return 0 end
if unique and unique ~= "" and redis.call("GET", unique) == id then redis.call("DEL", unique) end
return redis.call("DEL", KEYS[1])
`)

// Remove takes tasks that wait, or are archived, out of their queues, in one round trip. Those that are not there, or run
// already, are no error. One that waits behind more than a thousand others and before as many stays: whose job has ended it
// does nothing once it is taken.
func (c *Client) Remove(ctx context.Context, tasks ...job.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := c.remove(ctx, tasks, removeScript.EvalSha)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = c.remove(ctx, tasks, removeScript.Eval)
	}
	if err != nil {
		return fmt.Errorf("remove %d tasks, the first of them %s: %w", len(tasks), tasks[0].ID(), err)
	}
	return nil
}

func (c *Client) remove(ctx context.Context, tasks []job.Task, eval evaluate) error {
	pipe := c.redis.Pipeline()
	for _, t := range tasks {
		eval(ctx, pipe, []string{taskKey(t.Queue, t.ID())}, t.ID(), queuePrefix(t.Queue), removeReach)
	}
	_, err := pipe.Exec(ctx)
	return err //nolint:wrapcheck // its caller says what was tried
}
