package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Outlook returns each task's place in its queue plus all that waits in the lanes before it, 0 where it does not wait; and
// how fast the workers draw, as far as that is known. It is one round trip for any number of tasks. Places are estimates:
// an earlier lane is served more often than a later one, not before it.
func (c *Client) Outlook(ctx context.Context, tasks ...job.Task) (places []int, paces job.Paces, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	pipe := c.redis.Pipeline()
	lengths := make(map[string]*redis.IntCmd)
	at := make([]*redis.IntCmd, len(tasks))
	for i, t := range tasks {
		// Tasks enter at the head and leave at the tail, so the place counts from the tail.
		at[i] = pipe.LPos(ctx, pendingKey(t.Queue), t.ID(), redis.LPosArgs{Rank: -1})
		for _, queue := range append(lanesBefore(t.Queue), t.Queue) {
			if lengths[queue] == nil {
				lengths[queue] = pipe.LLen(ctx, pendingKey(queue))
			}
		}
	}
	words := pipe.HGetAll(ctx, paceKey)
	// The first error may be that of a task that does not wait, which is none, and hide another.
	_, err = pipe.Exec(ctx)
	errs := []error{words.Err()}
	if err != nil && !errors.Is(err, redis.Nil) {
		errs = append(errs, err)
	}
	for _, n := range lengths {
		errs = append(errs, n.Err())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, job.Paces{}, fmt.Errorf("look for %d tasks in their queues: %w", len(tasks), err)
	}
	places = make([]int, len(tasks))
	for i, t := range tasks {
		if at[i].Err() != nil {
			continue // taken, delayed or gone
		}
		place := lengths[t.Queue].Val() - at[i].Val()
		for _, queue := range lanesBefore(t.Queue) {
			place += lengths[queue].Val()
		}
		places[i] = int(place)
	}
	return places, pacesOf(words.Val(), time.Now()), nil
}
