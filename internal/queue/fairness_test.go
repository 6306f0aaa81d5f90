package queue_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// flood queues 300 pictures in the lanes that one key's pictures get by their rank, the favoured lane first.
func flood(t *testing.T, client *queue.Client, lanes ...job.Lane) {
	t.Helper()
	var tasks []job.Task
	for i, n := range []int{1, 3, 12, 284} {
		for range n {
			tasks = append(tasks, newTask(lanes[min(i, len(lanes)-1)]))
		}
	}
	enqueue(t, client, tasks...)
}

// turns serves with one slot. Each receive from started lets the handler before it end.
func turns(t *testing.T, url string) (started <-chan job.Task) {
	t.Helper()
	c := make(chan job.Task)
	ctx, cancel := context.WithCancel(context.Background())
	stop := serve(t, url, queue.ServerConfig{Concurrency: 1}, func(_ context.Context, task queue.Errand) error {
		select {
		case c <- task.Task:
		case <-ctx.Done():
		}
		return nil
	})
	t.Cleanup(func() {
		cancel()
		stop()
	})
	return c
}

// One key with 300 pictures does not keep another's from starting: it starts before the first key's fifth next one.
func TestAnArrivalIsNotBehindAFlood(t *testing.T) {
	t.Parallel()
	cases := map[string][]job.Lane{
		"calls":      {job.LaneExpress, job.LaneFast, job.LaneNormal, job.LaneSlow},
		"batch jobs": {job.LaneFast, job.LaneNormal, job.LaneSlow, job.LaneBulk},
	}
	for name, lanes := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, before := range []int{0, 1, 7} {
				t.Run(strconv.Itoa(before)+" started", func(t *testing.T) {
					t.Parallel()
					redistest.Both(t, func(t *testing.T, url string) { arrive(t, url, before, lanes) })
				})
			}
		})
	}
}

// arrive counts how many pictures of a flood start before one that comes when some have started.
func arrive(t *testing.T, url string, before int, lanes []job.Lane) {
	t.Helper()
	client := queue.NewClient(connect(t, url))
	flood(t, client, lanes...)
	started := turns(t, url)
	for range before {
		receive(t, started, "picture of the flood")
	}
	mine := newTask(lanes[0])
	enqueue(t, client, mine)
	others := 0
	for receive(t, started, "picture") != mine {
		others++
	}
	t.Logf("%d pictures of the flood started before the arrival", others)
	if others >= 5 {
		t.Errorf("%d pictures of the flood started before the arrival, want less than 5", others)
	}
}

func TestBulkMovesOnWhileExpressIsBusy(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	client := queue.NewClient(connect(t, url))
	const rounds = 3
	for range rounds * 21 {
		enqueue(t, client, newTask(job.LaneExpress))
	}
	for range rounds * 2 {
		enqueue(t, client, newTask(job.LaneBulk))
	}
	started := turns(t, url)
	bulk := 0
	for range rounds * 21 {
		if receive(t, started, "picture").Queue == job.QueueName("exacg", job.LaneBulk) {
			bulk++
		}
	}
	if bulk != rounds {
		t.Errorf("%d of %d pictures were of the bulk lane, want %d", bulk, rounds*21, rounds)
	}
}
