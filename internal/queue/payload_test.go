package queue

import (
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

func TestTaskSurvivesTheQueue(t *testing.T) {
	t.Parallel()
	want := job.Task{Job: job.NewID(), Image: 9, Generation: 1 << 40, Queue: "exacg-batch"}
	task, err := encodeTask(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeTask(task.Payload(), "exacg-batch"); err != nil || got != want {
		t.Errorf("decoded %+v, %v; want %+v", got, err, want)
	}
}

// Payloads come from Redis, where other versions and other hands write too.
func FuzzDecodeTask(f *testing.F) {
	f.Add([]byte(`{"v":1,"job":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","image":0,"generation":0}`))
	f.Add([]byte(`{"v":2,"job":"x","image":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		task, err := decodeTask(b, "q")
		if err != nil {
			return
		}
		if !task.Job.Valid() || task.Image < 0 {
			t.Errorf("accepted %+v", task)
		}
	})
}
