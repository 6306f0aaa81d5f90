package queue

import (
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

func TestTaskSurvivesTheQueue(t *testing.T) {
	t.Parallel()
	cases := map[string]job.Task{
		"a picture":                 {Job: job.NewID(), Image: 9, Generation: 1 << 40, Queue: "exacg-bulk", Owner: "digest"},
		"a picture of nobody known": {Job: job.NewID(), Queue: "exacg-bulk"},
		"a delivery":                job.WebhookTask(job.NewID()),
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task, err := encodeTask(want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decodeTask(task.Type(), task.Payload(), want.Queue); err != nil || got != want {
				t.Errorf("decoded %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestTaskInTheWrongQueueIsRefused(t *testing.T) {
	t.Parallel()
	content := []byte(`{"v":1,"job":"` + string(job.NewID()) + `"}`)
	cases := map[string]struct{ kind, queue string }{
		"a picture among the deliveries": {pictureType, job.WebhookQueue},
		"a delivery among the pictures":  {webhookType, "exacg-fast"},
		"a type nobody knows":            {"zimage:other", "exacg-fast"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if task, err := decodeTask(c.kind, content, c.queue); err == nil {
				t.Errorf("accepted %+v", task)
			}
		})
	}
}

// Payloads come from Redis, where other versions and other hands write too.
func FuzzDecodeTask(f *testing.F) {
	f.Add([]byte(`{"v":1,"job":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","image":0,"generation":0}`))
	f.Add([]byte(`{"v":1,"job":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","image":0,"generation":0,"owner":"x"}`))
	f.Add([]byte(`{"v":2,"job":"x","image":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for kind, queue := range map[string]string{pictureType: "q", webhookType: job.WebhookQueue} {
			task, err := decodeTask(kind, b, queue)
			if err == nil && (!task.Job.Valid() || task.Image < 0 || task.Queue != queue) {
				t.Errorf("accepted %+v", task)
			}
		}
	})
}
