package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

var errShape = errors.New("reply has another shape than the script's")

// Outlook returns each task's place in its queue plus all that waits in the lanes before it, 0 where it does not wait; and
// how fast the workers draw, as far as that is known. It is one round trip for any number of tasks. Places are estimates:
// an earlier lane is served more often than a later one, not before it, and far behind in a long queue nobody counts.
func (c *Client) Outlook(ctx context.Context, tasks ...job.Task) (places []int, paces job.Paces, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	asked := make(map[string][]int) // by queue: which of the tasks
	for i, t := range tasks {
		asked[t.Queue] = append(asked[t.Queue], i)
	}
	look, err := c.look(ctx, tasks, asked, placesScript.EvalSha)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		look, err = c.look(ctx, tasks, asked, placesScript.Eval)
	}
	if err != nil {
		return nil, job.Paces{}, fmt.Errorf("look for %d tasks in their queues: %w", len(tasks), err)
	}
	places = make([]int, len(tasks))
	for queue, which := range asked {
		before := 0
		for _, q := range lanesBefore(queue) {
			before += look.lengths[q]
		}
		for n, i := range which {
			if place := look.places[queue][n]; place > 0 {
				places[i] = look.within(before + place)
			}
		}
	}
	return places, pacesOf(look.paces, time.Now()), nil
}

// outlook is one look at the queues.
type outlook struct {
	lengths map[string]int   // by queue
	places  map[string][]int // by queue: of the tasks that were asked for
	paces   map[string]string
	waiting int // pictures that wait, in all
}

// within returns a place, or what it can be at most: a long queue may still have tasks of jobs that were cancelled, but no
// more pictures start before one than wait.
func (o outlook) within(place int) int {
	if place > removeReach && o.waiting > 0 {
		return min(place, o.waiting)
	}
	return place
}

// evaluate sends a script, by its digest or its text.
type evaluate func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

func (c *Client) look(ctx context.Context, tasks []job.Task, asked map[string][]int, eval evaluate) (outlook, error) {
	pipe := c.redis.Pipeline()
	finds := make(map[string]*redis.Cmd)
	lengths := make(map[string]*redis.IntCmd)
	for queue, which := range asked {
		args := []any{taskKey(queue, ""), exactPlaces}
		for _, i := range which {
			args = append(args, tasks[i].ID())
		}
		finds[queue] = eval(ctx, pipe, []string{pendingKey(queue)}, args...)
		for _, q := range lanesBefore(queue) {
			if asked[q] == nil && lengths[q] == nil {
				lengths[q] = pipe.LLen(ctx, pendingKey(q))
			}
		}
	}
	paces, waiting := pipe.HGetAll(ctx, paceKey), job.CountWaiting(ctx, pipe)
	if _, err := pipe.Exec(ctx); err != nil {
		return outlook{}, err //nolint:wrapcheck // its caller says what was tried
	}
	o := outlook{lengths: make(map[string]int), places: make(map[string][]int), paces: paces.Val(), waiting: int(waiting.Val())}
	for q, n := range lengths {
		o.lengths[q] = int(n.Val())
	}
	for queue, found := range finds {
		numbers, err := found.Int64Slice()
		if err != nil || len(numbers) != 1+len(asked[queue]) {
			return outlook{}, errors.Join(err, errShape)
		}
		o.lengths[queue] = int(numbers[0])
		for _, n := range numbers[1:] {
			o.places[queue] = append(o.places[queue], int(n))
		}
	}
	return o, nil
}
