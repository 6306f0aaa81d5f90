package queue_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// What a script queues is what asynq's client would have: this fails when an upgrade of asynq queues in another way.
func TestScriptsQueueAsAsynqDoes(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		own, inspector := asynq.NewClientFromRedisClient(raw), asynq.NewInspectorFromRedisClient(raw)
		client := queue.NewClient(raw)
		lanes := func() (tasks []job.Task) {
			task := job.Task{Job: job.NewID(), Image: 3, Generation: 1 << 40, Owner: "owner"}
			for _, l := range job.Lanes() {
				task.Queue = job.QueueName("exacg", l)
				tasks = append(tasks, task)
			}
			return append(tasks, job.WebhookTask(task.Job))
		}
		enqueue(t, client, lanes()...)
		if queues, err := inspector.Queues(); err != nil || len(queues) != len(job.Lanes())+1 {
			t.Errorf("asynq lists the queues %v, %v; want all", queues, err)
		}
		tasks := lanes() // of which asynq is asked for the first
		enqueue(t, client, tasks...)
		for _, task := range tasks {
			key, pending := "asynq:{"+task.Queue+"}:t:"+task.ID(), "asynq:{"+task.Queue+"}:pending"
			look := func() (fields map[string]string, last string) {
				fields, last = raw.HGetAll(t.Context(), key).Val(), raw.LIndex(t.Context(), pending, 0).Val()
				delete(fields, "pending_since")
				return fields, last
			}
			fields, last := look()
			info, err := inspector.GetTaskInfo(task.Queue, task.ID())
			if err != nil {
				t.Fatal(err)
			}
			if err := inspector.DeleteTask(task.Queue, task.ID()); err != nil {
				t.Fatal(err)
			}
			_, err = own.Enqueue(asynq.NewTask(info.Type, info.Payload), asynq.Queue(task.Queue), asynq.TaskID(task.ID()),
				asynq.MaxRetry(info.MaxRetry), asynq.Timeout(info.Timeout))
			if err != nil {
				t.Fatal(err)
			}
			wantFields, wantLast := look()
			if diff := cmp.Diff(fields, wantFields) + cmp.Diff(last, wantLast); diff != "" {
				t.Errorf("in %s (-got +want):\n%s", task.Queue, diff)
			}
		}
	})
}

// Of the tasks that a script is given it queues those that it names, each with a token.
func TestInsertQueuesWhatIsNamed(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		client := queue.NewClient(raw)
		fast, slow, other := newTask(job.LaneFast), newTask(job.LaneSlow), job.Task{Job: job.NewID(), Queue: "other-slow"}
		insert, err := client.Insert(t.Context(), fast, slow, other)
		if err != nil {
			t.Fatal(err)
		}
		script := insert.Lua + `enqueue(1, 2, 3) enqueue(2, 2, 3)`
		keys, args := append([]string{"mine"}, insert.Keys...), append([]any{"my", "own"}, insert.Args...)
		if err := raw.Eval(t.Context(), script, keys, args...).Err(); err != nil && err.Error() != "redis: nil" {
			t.Fatal(err)
		}
		for _, c := range []struct {
			key  string
			want []string
		}{
			{"asynq:{" + fast.Queue + "}:pending", []string{}},
			{"asynq:{" + slow.Queue + "}:pending", []string{slow.ID()}},
			{"asynq:{" + other.Queue + "}:pending", []string{other.ID()}},
			{"zimage:{dispatch}:wake:exacg", []string{slow.Queue}},
			{"zimage:{dispatch}:wake:other", []string{other.Queue}},
		} {
			if diff := cmp.Diff(raw.LRange(t.Context(), c.key, 0, -1).Val(), c.want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", c.key, diff)
			}
		}
	})
}

// A task is queued once, also by a Redis that has forgotten its scripts; and tokens that nobody takes are dropped.
func TestEnqueue(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		client := queue.NewClient(raw)
		task := newTask(job.LaneFast)
		enqueue(t, client, task)
		if err := raw.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		enqueue(t, client, task)
		if n := raw.LLen(t.Context(), "asynq:{"+task.Queue+"}:pending").Val(); n != 1 {
			t.Errorf("the task is queued %d times", n)
		}
		var many []job.Task
		for range 600 {
			many = append(many, newTask(job.LaneFast))
		}
		enqueue(t, client, many...)
		if n := raw.LLen(t.Context(), "zimage:{dispatch}:wake:exacg").Val(); n > 512 {
			t.Errorf("%d tokens are left", n)
		}
		if n := raw.LLen(t.Context(), "asynq:{"+task.Queue+"}:pending").Val(); n != 601 {
			t.Errorf("%d tasks are queued, want 601", n)
		}
	})
}
