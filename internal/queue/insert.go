package queue

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Insert returns what a script needs to do what Enqueue does.
func (c *Client) Insert(ctx context.Context, tasks ...job.Task) (job.Insert, error) {
	_, insert, err := c.insert(ctx, tasks)
	return insert, err
}

func (c *Client) insert(ctx context.Context, tasks []job.Task) (e *enqueue, i job.Insert, err error) {
	i = job.Insert{Keys: make([]string, 0, taskKeys*len(tasks)), Args: make([]any, 0, taskArgs*len(tasks))}
	var n note
	var upstream, list string
	for k, t := range tasks {
		if _, known := c.queues.Load(t.Queue); known && k > 0 && sameButQueue(tasks[k-1], t) {
			n = n.in(tasks[k-1].Queue, t.Queue)
		} else if n, err = c.record(ctx, t); err != nil {
			return nil, i, err
		} else if !known {
			c.queues.Store(t.Queue, nil)
		}
		if u := upstreamOf(t.Queue); u != upstream {
			upstream, list = u, wakeOfKey(u)
		}
		i.Keys = append(append(i.Keys, n.keys...), list)
		i.Args = append(append(i.Args, n.args...), t.Queue)
	}
	if n.enqueue != nil {
		i.Lua = n.enqueue.lua
	}
	return n.enqueue, i, nil
}

func sameButQueue(a, b job.Task) bool {
	a.Queue = b.Queue
	return a == b && !b.IsWebhook()
}

// in returns what was noted of a task in one queue as it is in another: to ask asynq for that costs some times as much.
func (n note) in(from, to string) note {
	keys, args := slices.Clone(n.keys), slices.Clone(n.args)
	for i, k := range keys {
		if before, after, ok := strings.Cut(k, "{"+from+"}"); ok {
			keys[i] = before + "{" + to + "}" + after
		}
	}
	for i, a := range args {
		if message, ok := a.([]byte); ok {
			args[i] = inQueue(message, to)
		}
	}
	return note{n.enqueue, keys, args}
}

// taskKeys and taskArgs are how many of each the script has for a task: asynq's and the wake list, asynq's and the token.
const (
	taskKeys = 2 + 1
	taskArgs = 3 + 1
)

// enqueue is a part of scripts, which queues tasks, and the script that does nothing else.
type enqueue struct {
	lua    string
	script *redis.Script
}

// newEnqueue returns what queues tasks by asynq's own script. A wake list that has grown long is cut: nobody needs its tokens.
func newEnqueue(asynqs string) *enqueue {
	lua := `
local function asynq(KEYS, ARGV)
` + asynqs + `
end
local function enqueue(i, k, a)
  k, a = k + 3 * i, a + 4 * i
  asynq({KEYS[k], KEYS[k + 1]}, {ARGV[a], ARGV[a + 1], ARGV[a + 2]})
  local tokens = redis.call("LPUSH", KEYS[k + 2], ARGV[a + 3])
  if tokens > ` + strconv.Itoa(2*wakeCap) + ` then redis.call("LTRIM", KEYS[k + 2], "0", "` + strconv.Itoa(wakeCap-1) + `") end
end
`
	return &enqueue{lua, redis.NewScript(lua + `for i = 0, #ARGV / 4 - 1 do enqueue(i, 1, 1) end`)}
}
