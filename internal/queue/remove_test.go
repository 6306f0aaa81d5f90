package queue_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// removeReach is how far from each end of a queue a task is found.
const removeReach = 1000

func TestRemove(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		client := queue.NewClient(connect(t, url))
		runs, waits := newTask(job.LaneExpress), newTask(job.LaneExpress)
		started, release := make(chan job.Task, 3), make(chan struct{})
		serve(t, url, queue.ServerConfig{Concurrency: 1}, func(_ context.Context, task queue.Errand) error {
			started <- task.Task
			<-release
			return nil
		})
		enqueue(t, client, runs)
		receive(t, started, "start")
		enqueue(t, client, waits)
		// One runs, one waits, one was never there.
		if err := client.Remove(t.Context(), runs, waits, newTask(job.LaneBulk)); err != nil {
			t.Error(err)
		}
		last := newTask(job.LaneExpress)
		enqueue(t, client, last)
		close(release)
		if got := receive(t, started, "next start"); got != last {
			t.Errorf("%+v ran after it was removed", got)
		}
	})
}

func TestRemoveFromALongQueue(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t) // the imitation takes long for a queue as long as this
	client, l := queue.NewClient(connect(t, url)), newLine(t, url)
	const n = 2*removeReach + 2
	l.come(bursts(n)...)
	near := []job.Task{l.tasks[0], l.tasks[removeReach-1], l.tasks[n-removeReach], l.tasks[n-1]}
	far := []job.Task{l.tasks[removeReach], l.tasks[n-removeReach-1]}
	if err := client.Remove(t.Context(), append(far, near...)...); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, task := range l.tasks {
		if !slices.Contains(near, task) {
			want = append(want, task.ID())
		}
	}
	pending, _ := l.keys(near[0])
	got, err := l.client.LRange(t.Context(), pending, 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(got) // the newest is the first
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("what waits (-got +want):\n%s", diff)
	}
	for _, task := range near {
		_, key := l.keys(task)
		if left := l.client.Exists(t.Context(), key).Val(); left != 0 {
			t.Errorf("%s is left of a task that was removed", key)
		}
	}
	for _, task := range far {
		_, key := l.keys(task)
		if state := l.client.HGet(t.Context(), key, "state").Val(); state != "pending" {
			t.Errorf("a task that stays in its queue has the state %q", state)
		}
	}
}

// What is removed is gone for asynq, whatever state it was in, as with asynq's own DeleteTask: this fails when an upgrade
// keeps tasks in another way.
func TestRemoveInEveryState(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		client, plain, inspector := queue.NewClient(raw), asynq.NewClientFromRedisClient(raw), asynq.NewInspectorFromRedisClient(raw)
		pending, archived := newTask(job.LaneBulk), newTask(job.LaneBulk)
		enqueue(t, client, pending, archived)
		if err := inspector.ArchiveTask(archived.Queue, archived.ID()); err != nil {
			t.Fatal(err)
		}
		scheduled := newTask(job.LaneBulk)
		order := func(t *testing.T, task job.Task, more ...asynq.Option) error {
			t.Helper()
			_, err := plain.EnqueueContext(t.Context(), asynq.NewTask("any", nil),
				append(more, asynq.Queue(task.Queue), asynq.TaskID(task.ID()), asynq.Unique(time.Hour))...)
			return err
		}
		if err := order(t, scheduled, asynq.ProcessIn(time.Hour)); err != nil {
			t.Fatal(err)
		}
		tasks := []job.Task{pending, archived, scheduled}
		if err := client.Remove(t.Context(), tasks...); err != nil {
			t.Fatal(err)
		}
		info, err := inspector.GetQueueInfo(pending.Queue)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size != 0 || info.Archived != 0 {
			t.Errorf("%d tasks and %d archived ones are left", info.Size, info.Archived)
		}
		for _, task := range tasks {
			if _, err := inspector.GetTaskInfo(task.Queue, task.ID()); err == nil {
				t.Errorf("%s is still known", task.ID())
			}
		}
		if err := order(t, newTask(job.LaneBulk)); err != nil {
			t.Errorf("a task that was unique keeps others out after it was removed: %v", err)
		}
	})
}
