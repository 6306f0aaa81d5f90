package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

var rules = job.StartOptions{MarkTTL: time.Minute, MaxAttempts: 3, RepeatAmbiguous: true}

// newRecords returns the records on a server, and a function that makes one with its task, which waits in the queue.
func newRecords(t *testing.T, client redis.UniversalClient) (*job.Store, func() job.Task) {
	t.Helper()
	store, tasks := job.NewStore(client, time.Hour), queue.NewClient(client)
	return store, func() job.Task {
		t.Helper()
		task := newTask(job.LaneNormal)
		task.Owner = "digest"
		_, _, err := store.Create(t.Context(), task.Job, job.New{Owner: task.Owner, Class: job.ClassInteractive, Spec: imagegen.Spec{
			Model: "Z-Image", Upstreams: []string{"exacg"}, Prompt: "a cat", Width: 64, Height: 64, Seeds: []uint32{1},
		}}, []string{task.Queue}, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		enqueue(t, tasks, task)
		return task
	}
}

func begin(store *job.Store) queue.Begin {
	return queue.Begin{Records: store, Rules: map[string]job.StartOptions{"exacg": rules}}
}

func TestCallsBeginAsTheirTasksAreTaken(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		store, submit := newRecords(t, raw)
		got := make(chan queue.Errand, 10)
		serve(t, url, queue.ServerConfig{Begin: begin(store)}, func(_ context.Context, e queue.Errand) error {
			got <- e
			return nil
		})
		calls := make(map[string]bool)
		for range 5 {
			task := submit()
			e := receive(t, got, "task")
			if e.Task != task || e.Begun == nil || e.Begun.Verdict != job.StartGo || e.Begun.Spec.Prompt != "a cat" || e.Begun.Attempt != 1 {
				t.Fatalf("errand = %+v, begun %+v; want the call of %+v", e, e.Begun, task)
			}
			calls[e.Begun.CallID] = true
			j, err := store.Get(t.Context(), task.Job)
			if err != nil || j.Status != job.StatusInProgress || len(j.Calls) != 1 {
				t.Errorf("job = %+v, %v; want one call under way", j, err)
			}
			again, err := store.Start(t.Context(), task, e.Begun.CallID, "exacg", rules)
			if err != nil || again.Verdict != job.StartGo || again.Attempt != 1 {
				t.Errorf("asked again: %+v, %v", again, err)
			}
		}
		if len(calls) != 5 {
			t.Errorf("the calls' ids are %v", calls)
		}
		if err := raw.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if task, e := submit(), receive(t, got, "task after Redis forgot the script"); e.Task != task || e.Begun == nil {
			t.Errorf("errand = %+v; want that of %+v, begun", e, task)
		}
	})
}
