package queue

import (
	"encoding/json"
	"fmt"

	"github.com/hibiken/asynq"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// asynq's types of our tasks.
const (
	pictureType = "zimage:picture"
	webhookType = "zimage:webhook"
)

// payload is what asynq stores of a picture's task. The prompt is not in it: it stands in the job's record only, so that
// forgetting the record forgets the prompt, and the queue's dashboard shows none.
type payload struct {
	Version    int    `json:"v"`
	Job        job.ID `json:"job"`
	Image      int    `json:"image"`
	Generation int64  `json:"generation"`
	Owner      string `json:"owner,omitempty"` // a digest; older processes write none
}

// delivery is what asynq stores of a webhook's task.
type delivery struct {
	Version int    `json:"v"`
	Job     job.ID `json:"job"`
}

const payloadVersion = 1

func encodeTask(t job.Task) (*asynq.Task, error) {
	kind, content := pictureType, any(payload{
		Version: payloadVersion, Job: t.Job, Image: t.Image, Generation: t.Generation, Owner: t.Owner,
	})
	if t.IsWebhook() {
		kind, content = webhookType, delivery{Version: payloadVersion, Job: t.Job}
	}
	b, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode task %s: %w", t.ID(), err)
	}
	return asynq.NewTask(kind, b), nil
}

// decodeTask reads a task that may come from another version of this program.
func decodeTask(kind string, b []byte, queue string) (job.Task, error) {
	switch {
	case kind == pictureType && queue != job.WebhookQueue:
	case kind == webhookType && queue == job.WebhookQueue:
	default:
		return job.Task{}, fmt.Errorf("decode task: nobody puts tasks of type %q into queue %s", kind, queue)
	}
	var p payload
	if err := json.Unmarshal(b, &p); err != nil {
		return job.Task{}, fmt.Errorf("decode task: %w", err)
	}
	if p.Version != payloadVersion || !p.Job.Valid() || p.Image < 0 {
		return job.Task{}, fmt.Errorf("decode task: version %d, job %q and image %d are not what version %d writes",
			p.Version, p.Job, p.Image, payloadVersion)
	}
	if kind == webhookType {
		return job.WebhookTask(p.Job), nil
	}
	return job.Task{Job: p.Job, Image: p.Image, Generation: p.Generation, Queue: queue, Owner: p.Owner}, nil
}
