package queue_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// Lost reads asynq's own keys: this fails when an upgrade of asynq lays them out in another way.
func TestLost(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		client := queue.NewClient(raw)
		inspector := asynq.NewInspectorFromRedisClient(raw)
		var tasks []job.Task
		add := func() job.Task {
			task := newTask(job.LaneExpress)
			enqueue(t, client, task)
			tasks = append(tasks, task)
			return task
		}
		add() // waits
		archived := add()
		if err := inspector.ArchiveTask(archived.Queue, archived.ID()); err != nil {
			t.Fatal(err)
		}
		deleted := add()
		if err := inspector.DeleteTask(deleted.Queue, deleted.ID()); err != nil {
			t.Fatal(err)
		}

		held := add()
		taken := make(chan struct{}, 10)
		release := make(chan struct{})
		serve(t, url, queue.ServerConfig{}, func(context.Context, queue.Errand) error {
			taken <- struct{}{}
			<-release
			return nil
		})
		receive(t, taken, "start of the first task")
		receive(t, taken, "start of the last task")
		defer close(release)
		check := func(what string, want ...bool) {
			t.Helper()
			got, err := client.Lost(t.Context(), tasks)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("%s: lost (-got +want):\n%s", what, diff)
			}
		}
		check("taken, archived, deleted, taken", false, true, true, false)
		lease := "asynq:{" + held.Queue + "}:lease"
		if n, err := raw.ZRem(t.Context(), lease, held.ID()).Result(); err != nil || n != 1 {
			t.Fatalf("asynq keeps no lease in %s (%d, %v)", lease, n, err)
		}
		check("the last without a lease", false, true, true, true)
		if err := raw.ZAdd(t.Context(), lease, redis.Z{Score: 1, Member: tasks[0].ID()}).Err(); err != nil {
			t.Fatal(err)
		}
		check("the first with a lease that ran out", true, true, true, true)
	})
}
