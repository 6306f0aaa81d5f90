package queue

import (
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

func TestTaskSurvivesTheQueue(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]job.Task{
		"picture": {Job: job.NewID(), Image: 9, Generation: 1 << 40, Queue: "exacg-bulk", Owner: "0123abcd"},
		"webhook": job.WebhookTask(job.NewID()),
	} {
		task, err := encodeTask(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeTask(task.Type(), task.Payload(), want.Queue); err != nil || got != want {
			t.Errorf("%s: decoded %+v, %v; want %+v", name, got, err, want)
		}
		for _, wrong := range []struct{ kind, queue string }{
			{"email", want.Queue}, {webhookType, "exacg-bulk"}, {pictureType, job.WebhookQueue},
		} {
			if _, err := decodeTask(wrong.kind, task.Payload(), wrong.queue); err == nil {
				t.Errorf("%s: accepted as %+v", name, wrong)
			}
		}
	}
}

// Payloads come from Redis, where other versions and other hands write too.
func FuzzDecodeTask(f *testing.F) {
	f.Add([]byte(`{"v":1,"job":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","image":0,"generation":0}`))
	f.Add([]byte(`{"v":2,"job":"x","image":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		task, err := decodeTask(pictureType, b, "q")
		if err != nil {
			return
		}
		if !task.Job.Valid() || task.Image < 0 {
			t.Errorf("accepted %+v", task)
		}
	})
}
