package queue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// How late a delayed task may come on a busy machine. asynq asks every second, and the set is looked at when this process
// knows of a due task, else every 5 s.
const (
	mostLateHere  = 4 * time.Second
	mostLateThere = 8 * time.Second
)

var errNotYet = errors.New("not yet")

func TestTasksDelayedByAWorkerThatIsGone(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		const delay = 2 * time.Second
		client, task := queue.NewClient(connect(t, url)), newTask(job.LaneNormal)
		enqueue(t, client, task)
		failed := make(chan struct{}, 1)
		stop := serve(t, url, queue.ServerConfig{}, func(context.Context, queue.Errand) error {
			failed <- struct{}{}
			return &queue.RetryError{After: delay, Err: errNotYet}
		})
		receive(t, failed, "first run")
		due := time.Now().Add(delay)
		stop()
		again := make(chan job.Task, 1)
		serve(t, url, queue.ServerConfig{}, func(_ context.Context, task queue.Errand) error {
			again <- task.Task
			return nil
		})
		if got := receive(t, again, "second run"); got != task {
			t.Errorf("ran %+v, want %+v", got, task)
		}
		if late := time.Since(due); late < 0 || late > mostLateThere {
			t.Errorf("the task came %v after its time", late)
		}
	})
}

// Nobody puts tasks into the other delayed set; it is looked at all the same.
func TestScheduledTasks(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		ran := make(chan job.Task, 1)
		serve(t, url, queue.ServerConfig{}, func(_ context.Context, task queue.Errand) error {
			ran <- task.Task
			return nil
		})
		task, began := newTask(job.LaneNormal), time.Now()
		_, err := asynq.NewClientFromRedisClient(connect(t, url)).Enqueue(
			asynq.NewTask("zimage:picture", []byte(`{"v":1,"job":"`+string(task.Job)+`"}`)),
			asynq.Queue(task.Queue), asynq.TaskID(task.ID()), asynq.ProcessIn(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if got := receive(t, ran, "run"); got != task {
			t.Errorf("ran %+v, want %+v", got, task)
		}
		if late := time.Since(began) - time.Second; late > mostLateThere {
			t.Errorf("the task came %v after its time", late)
		}
	})
}

// asynq moves a hundred due tasks at once. More than that come together all the same, from scripts that Redis has
// forgotten too.
func TestManyTasksComeDueAtOnce(t *testing.T) { //nolint:paralleltest // it measures time: nothing runs beside it
	server := redistest.Start(t, redistest.Options{})
	const tasks = 250
	var mu sync.Mutex
	tries := make(map[job.ID]int)
	ran, due := make(chan time.Time, tasks), time.Now().Add(3*time.Second).Truncate(time.Second)
	serve(t, server.URL(), queue.ServerConfig{Concurrency: 50}, func(_ context.Context, task queue.Errand) error {
		mu.Lock()
		defer mu.Unlock()
		tries[task.Job]++
		if tries[task.Job] == 1 {
			return &queue.RetryError{After: time.Until(due), Err: errNotYet}
		}
		ran <- time.Now()
		return nil
	})
	client, raw := queue.NewClient(connect(t, server.URL())), connect(t, server.URL())
	for range tasks {
		enqueue(t, client, newTask(job.LaneFast))
	}
	retries := "asynq:{" + job.QueueName("exacg", job.LaneFast) + "}:retry"
	waitUntil(t, "all tasks wait to come again", func() bool { return raw.ZCard(t.Context(), retries).Val() == tasks })
	if err := raw.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if now := time.Now(); now.After(due) {
		t.Skipf("the machine is too busy: the tasks came due %v before all had run once", now.Sub(due))
	}
	var last time.Time
	for range tasks {
		last = receive(t, ran, "second run")
	}
	if late := last.Sub(due); late > mostLateHere {
		t.Errorf("the last task came %v after its time", late)
	}
}
