package queue_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

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
		tasks := lanes()
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

// A script queues those of the tasks that it likes, in the queues that it names, each with a token; asynq lists the queues.
func TestInsertQueuesWhatIsNamed(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		client := queue.NewClient(raw)
		first, second := newTask(job.LaneFast), newTask(job.LaneFast)
		queues := []string{"exacg-fast", "exacg-slow"}
		insert, err := client.Insert(t.Context(), []job.Task{first, second}, queues...)
		if err != nil {
			t.Fatal(err)
		}
		script := insert.Lua + `enqueue(1, "exacg-slow", 3)`
		if err := raw.Eval(t.Context(), script, nil, append([]any{"my", "own"}, insert.Args...)...).Err(); !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		second.Queue = "exacg-slow"
		inspector := asynq.NewInspectorFromRedisClient(raw)
		if listed, err := inspector.Queues(); err != nil || len(listed) != len(queues) {
			t.Errorf("asynq lists the queues %v, %v; want %v", listed, err, queues)
		}
		info, err := inspector.GetTaskInfo(second.Queue, second.ID())
		if err != nil || info.Queue != second.Queue || info.State != asynq.TaskStatePending {
			t.Errorf("asynq says of the task %+v, %v", info, err)
		}
		for key, want := range map[string][]string{
			"asynq:{exacg-fast}:pending":   {},
			"asynq:{exacg-slow}:pending":   {second.ID()},
			"zimage:{dispatch}:wake:exacg": {second.Queue},
		} {
			if diff := cmp.Diff(raw.LRange(t.Context(), key, 0, -1).Val(), want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", key, diff)
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
