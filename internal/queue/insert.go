package queue

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Insert returns what a script needs to do what Enqueue does.
func (c *Client) Insert(ctx context.Context, tasks ...job.Task) (job.Insert, error) {
	_, insert, err := c.insert(ctx, tasks)
	return insert, err
}

func (c *Client) insert(ctx context.Context, tasks []job.Task) (e *enqueue, i job.Insert, err error) {
	i = job.Insert{Keys: make([]string, 0, 3*len(tasks)), Args: make([]any, 0, 4*len(tasks))}
	for _, t := range tasks {
		n, err := c.record(ctx, t)
		if err != nil {
			return nil, i, err
		}
		e, i.Lua = n.enqueue, n.enqueue.lua
		i.Keys = append(append(i.Keys, n.keys...), wakeOfKey(upstreamOf(t.Queue)))
		i.Args = append(append(i.Args, n.args...), t.Queue)
	}
	return e, i, nil
}

// enqueue is a part of scripts, which queues tasks, and the script that does nothing else.
type enqueue struct {
	lua    string
	script *redis.Script
}

// newEnqueue returns what queues tasks by asynq's own script.
//
// The part defines enqueue(), see [job.Insert]. Of each task it takes asynq's two keys and the wake list, and asynq's three
// arguments and the token. A list that has grown long is cut: nobody needs the tokens.
func newEnqueue(asynqs string) *enqueue {
	lua := `
local function asynq(KEYS, ARGV)
` + asynqs + `
end
local function enqueue(k, first, last)
  for a = first, last, 4 do
    asynq({KEYS[k], KEYS[k + 1]}, {ARGV[a], ARGV[a + 1], ARGV[a + 2]})
    local tokens = redis.call("LPUSH", KEYS[k + 2], ARGV[a + 3])
    if tokens > ` + strconv.Itoa(2*wakeCap) + ` then redis.call("LTRIM", KEYS[k + 2], "0", "` + strconv.Itoa(wakeCap-1) + `") end
    k = k + 3
  end
end
`
	return &enqueue{lua, redis.NewScript(lua + `enqueue(1, 1, #ARGV)`)}
}
