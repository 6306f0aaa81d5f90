package queue

import (
	"context"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// TakeAndStop takes so many tasks of upstream exacg as a server does, and stops before asynq has asked for any.
func TakeAndStop(ctx context.Context, c Clients, n int, b Begin) {
	s := NewServer(c, ServerConfig{Upstreams: map[string]int{"exacg": 0}, Concurrency: n, Begin: b}, slog.New(slog.DiscardHandler))
	d := s.dispatcher
	const asked = "exacg-normal"
	cmd := redis.NewCmd(ctx, "eval", dequeueText, 4, pendingKey(asked), pausedKey(asked), activeKey(asked), leaseKey(asked), 1, taskKey(asked, ""))
	d.knows(cmd)
	if err := d.fetch(ctx, cmd, asked, d.look(ctx)); err != nil {
		panic(err)
	}
	if len(d.fetched) != n {
		panic("other than expected")
	}
	d.shut()
	d.giveBack(ctx)
}

// dequeueText does what asynq's script for it does.
const dequeueText = `
if redis.call("EXISTS", KEYS[2]) == 0 then
  local id = redis.call("RPOPLPUSH", KEYS[1], KEYS[3])
  if id then
    redis.call("HSET", ARGV[2] .. id, "state", "active")
    redis.call("ZADD", KEYS[4], ARGV[1], id)
    return redis.call("HGET", ARGV[2] .. id, "msg")
  end
end
return nil`
