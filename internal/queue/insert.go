package queue

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Insert returns what a script needs to queue each of the tasks in whichever of the queues, all of one upstream, it likes.
func (c *Client) Insert(ctx context.Context, tasks []job.Task, queues ...string) (job.Insert, error) {
	for _, q := range queues {
		if len(q) >= 128 {
			return job.Insert{}, fmt.Errorf("queue %s: its name is too long for asynq's message", q)
		}
		if _, known := c.queues.Load(q); known {
			continue
		}
		t := tasks[0]
		t.Queue = q
		if _, err := c.record(ctx, t); err != nil { // asynq lists the queue with this
			return job.Insert{}, err
		}
		c.queues.Store(q, nil)
	}
	_, insert, err := c.insert(ctx, tasks)
	return insert, err
}

func (c *Client) insert(ctx context.Context, tasks []job.Task) (e *enqueue, i job.Insert, err error) {
	i.Args = make([]any, 0, taskArgs*len(tasks))
	for _, t := range tasks {
		n, err := c.record(ctx, t)
		if err != nil {
			return nil, i, err
		}
		message, _ := n.args[0].([]byte)
		head, tail, ok := cutQueue(message)
		if !ok {
			return nil, i, fmt.Errorf("queue task %s: asynq's message is other than expected", t.ID())
		}
		e, i.Lua = n.enqueue, n.enqueue.lua
		i.Args = append(i.Args, head, tail, n.args[1], n.args[2], wakeOfKey(upstreamOf(t.Queue)))
	}
	return e, i, nil
}

// taskArgs is how many arguments the script has for a task: the message before and after the name of the queue, the task's id,
// the time, and the wake list.
const taskArgs = 5

// enqueue is a part of scripts, which queues tasks, and the script that does nothing else.
type enqueue struct {
	lua    string
	script *redis.Script
}

// newEnqueue returns what queues tasks by asynq's own script. In a message the queue's name follows its length, which is one
// byte. A wake list that has grown long is cut: nobody needs its tokens.
//
//	KEYS    none: those of its queue are made of the name, as one server has all
//	ARGV    taskArgs for each task; in the script by itself, the queues' names behind them
//	returns nothing
func newEnqueue(asynqs string) *enqueue {
	name, id := `" .. queue .. "`, `" .. ARGV[a + 2] .. "`
	lua := `
local function asynq(KEYS, ARGV)
` + asynqs + `
end
local function enqueue(i, queue, a)
  a = a + 5 * i
  asynq({"` + taskKey(name, id) + `", "` + pendingKey(name) + `"},
    {ARGV[a] .. string.char(#queue) .. queue .. ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]})
  local tokens = redis.call("LPUSH", ARGV[a + 4], queue)
  if tokens > ` + strconv.Itoa(2*wakeCap) + ` then redis.call("LTRIM", ARGV[a + 4], "0", "` + strconv.Itoa(wakeCap-1) + `") end
end
`
	return &enqueue{lua, redis.NewScript(lua + `
local n = #ARGV / 6
for i = 0, n - 1 do enqueue(i, ARGV[5 * n + 1 + i], 1) end
`)}
}
