package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// flood returns 300 tasks of one key in the lanes that admission gives them, a batch one lane lower.
func flood(class job.Class) (tasks []job.Task) {
	lanes := job.Lanes()
	if class == job.ClassBatch {
		lanes = lanes[1:]
	}
	for rank := 1; rank <= 300; rank++ {
		lane := 0
		for _, most := range []int{1, 4, 16} {
			if rank > most {
				lane++
			}
		}
		t := newTask(lanes[lane])
		t.Owner = "a"
		tasks = append(tasks, t)
	}
	return tasks
}

// With 300 pictures of key A waiting for one slot, one of key B starts before A's fifth next one; and A's go on.
func TestAFloodStarvesNobody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flood job.Class
		other job.Lane
		most  int // of A's that may start before B's
	}{
		"callers behind callers":  {job.ClassInteractive, job.LaneExpress, 3},
		"a caller behind a batch": {job.ClassBatch, job.LaneExpress, 3},
		"a batch behind a batch":  {job.ClassBatch, job.LaneFast, 3},
		"a batch behind callers":  {job.ClassInteractive, job.LaneFast, 7}, // callers first: A has four in the lanes up to B's
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := redistest.URL(t)
			client := queue.NewClient(connect(t, url))
			enqueue(t, client, flood(c.flood)...)
			started, next := make(chan job.Task), make(chan struct{})
			stop := serve(t, url, queue.ServerConfig{Concurrency: 1}, func(_ context.Context, task job.Task) error {
				started <- task
				<-next
				return nil
			})
			defer stop()
			defer close(next)
			// At several moments of the flood.
			for round := range 4 {
				for range 7 * round {
					receive(t, started, "task of A")
					next <- struct{}{}
				}
				receive(t, started, "task of A") // under way while B's arrives
				b := newTask(c.other)
				enqueue(t, client, b)
				next <- struct{}{}
				before := 0
				for task := receive(t, started, "task"); task != b; task = receive(t, started, "task") {
					before++
					next <- struct{}{}
				}
				next <- struct{}{}
				if before > c.most {
					t.Errorf("%d of A's started before B's, want at most %d", before, c.most)
				}
			}
		})
	}
}

// The lowest lane moves while the highest is never empty.
func TestTheLowestLaneMoves(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	client := queue.NewClient(connect(t, url))
	enqueue(t, client, newTask(job.LaneBulk), newTask(job.LaneExpress), newTask(job.LaneExpress))
	express := 0
	moved := make(chan int, 1)
	serve(t, url, queue.ServerConfig{Concurrency: 1}, func(ctx context.Context, task job.Task) error {
		if task.Queue == job.QueueName("exacg", job.LaneBulk) {
			moved <- express
			return nil
		}
		express++
		return client.Enqueue(ctx, newTask(job.LaneExpress))
	})
	if n := receive(t, moved, "picture of the lowest lane"); n > 25 {
		t.Errorf("%d express pictures went before it, want about 20", n)
	}
}

// Webhooks take no upstream slot: they are told of while all are in use.
func TestWebhooksNeedNoSlot(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]queue.ServerConfig{
		"of this process":  {Concurrency: 1, Deliveries: 2},
		"over all workers": {Concurrency: 2, GlobalLimit: 1, Deliveries: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := redistest.URL(t)
			client := queue.NewClient(connect(t, url))
			drawing, release, told := make(chan struct{}, 9), make(chan struct{}), make(chan job.Task, 9)
			stop := serveBoth(t, url, cfg, queue.Handlers{
				Picture: func(context.Context, job.Task) error {
					drawing <- struct{}{}
					<-release
					return nil
				},
				Webhook: func(_ context.Context, task job.Task) error {
					told <- task
					return nil
				},
			})
			defer stop()
			defer close(release)
			enqueue(t, client, newTask(job.LaneExpress), newTask(job.LaneExpress))
			receive(t, drawing, "picture")
			want := job.WebhookTask(job.NewID())
			enqueue(t, client, want)
			if got := receive(t, told, "webhook"); got != want {
				t.Errorf("told of %+v, want %+v", got, want)
			}
			if len(drawing) > 0 {
				t.Error("a second picture is being drawn")
			}
		})
	}
}

// A task comes again when it said, though asynq's questions for delayed tasks are mostly answered without asking Redis.
func TestDelayedTasksComeInTime(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	client := queue.NewClient(connect(t, url))
	runs := make(chan time.Time, 9)
	serve(t, url, queue.ServerConfig{}, func(context.Context, job.Task) error {
		runs <- time.Now()
		if len(runs) == 1 {
			return &queue.RetryError{After: 2 * time.Second, Err: errors.New("busy")}
		}
		return nil
	})
	enqueue(t, client, newTask(job.LaneSlow))
	waitUntil(t, "the task comes again", func() bool { return len(runs) == 2 })
	first, second := <-runs, <-runs
	if pause := second.Sub(first); pause < 2*time.Second || pause > 4500*time.Millisecond {
		t.Errorf("it came again after %v, want 2 s, and a second or two for the whole seconds that asynq counts in", pause)
	}
}

// A task that was delayed by a worker which is gone is found by another one.
func TestDelayedTasksOfADeadWorkerCome(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	client := queue.NewClient(connect(t, url))
	task := newTask(job.LaneSlow)
	ran := make(chan struct{}, 9)
	stop := serve(t, url, queue.ServerConfig{}, func(context.Context, job.Task) error {
		ran <- struct{}{}
		return &queue.RetryError{After: 3 * time.Second, Err: errors.New("busy")}
	})
	enqueue(t, client, task)
	receive(t, ran, "first run")
	inspector := asynq.NewInspectorFromRedisClient(connect(t, url))
	waitUntil(t, "the task is delayed", func() bool {
		info, err := inspector.GetTaskInfo(task.Queue, task.ID())
		return err == nil && info.State == asynq.TaskStateRetry
	})
	stop()
	began := time.Now()
	serve(t, url, queue.ServerConfig{}, func(context.Context, job.Task) error {
		ran <- struct{}{}
		return nil
	})
	receive(t, ran, "second run")
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("it came after %v, want the delay and a look every 5 s", took)
	}
}

// All processes know how many slots there are and how long calls take; of one that stopped nothing is left.
func TestPace(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		client := queue.NewClient(connect(t, url))
		pace := func() job.Pace {
			_, p, err := client.Outlook(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if p := pace(); p != (job.Pace{}) {
			t.Errorf("without workers: %+v", p)
		}
		slow := func(ctx context.Context, _ job.Task) error {
			timer := time.NewTimer(100 * time.Millisecond)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			return nil
		}
		stops := []func(){
			serve(t, url, queue.ServerConfig{Concurrency: 3}, slow),
			serve(t, url, queue.ServerConfig{Concurrency: 4, GlobalLimit: 5}, slow),
		}
		waitUntil(t, "both tell of their slots", func() bool { return pace().Slots == 5 })
		for range 6 {
			enqueue(t, client, newTask(job.LaneExpress))
		}
		waitUntil(t, "the length of a call is known", func() bool { return pace().Call > 0 })
		if p := pace(); p.Call < 100*time.Millisecond || p.Call > 500*time.Millisecond || !p.Known() {
			t.Errorf("pace = %+v, want calls of about 100 ms", p)
		}
		stops[1]()
		if p := pace(); p.Slots != 3 {
			t.Errorf("with one worker left there are %d slots, want 3", p.Slots)
		}
		stops[0]()
		if p := pace(); p != (job.Pace{}) {
			t.Errorf("after the last worker stopped: %+v", p)
		}
	})
}

// A webhook whose task was archived can be queued again, once what is left of it is taken away.
func TestAWebhookIsQueuedAnew(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	client := queue.NewClient(connect(t, url))
	task := job.WebhookTask(job.NewID())
	told := make(chan struct{}, 9)
	archive := true
	serveBoth(t, url, queue.ServerConfig{Deliveries: 1}, queue.Handlers{Webhook: func(context.Context, job.Task) error {
		told <- struct{}{}
		if archive {
			archive = false
			return queue.ErrArchive
		}
		return nil
	}})
	enqueue(t, client, task)
	receive(t, told, "first try")
	waitUntil(t, "the task is archived", func() bool {
		lost, err := client.Lost(t.Context(), []job.Task{task})
		return err == nil && lost[0]
	})
	if err := client.Remove(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	enqueue(t, client, task)
	receive(t, told, "second try")
}
