package queue

import (
	"encoding/json"
	"fmt"

	"github.com/hibiken/asynq"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// taskType is asynq's type of a picture task.
const taskType = "zimage:picture"

// payload is what asynq stores of a task. The prompt is not in it: it stands in the job's record only, so that
// forgetting the record forgets the prompt, and the queue's dashboard shows none.
type payload struct {
	Version    int    `json:"v"`
	Job        job.ID `json:"job"`
	Image      int    `json:"image"`
	Generation int64  `json:"generation"`
}

const payloadVersion = 1

func encodeTask(t job.Task) (*asynq.Task, error) {
	b, err := json.Marshal(payload{Version: payloadVersion, Job: t.Job, Image: t.Image, Generation: t.Generation})
	if err != nil {
		return nil, fmt.Errorf("encode task %s: %w", t.ID(), err)
	}
	return asynq.NewTask(taskType, b), nil
}

// decodeTask reads a payload that may come from another version of this program.
func decodeTask(b []byte, queue string) (job.Task, error) {
	var p payload
	if err := json.Unmarshal(b, &p); err != nil {
		return job.Task{}, fmt.Errorf("decode task: %w", err)
	}
	if p.Version != payloadVersion || !p.Job.Valid() || p.Image < 0 {
		return job.Task{}, fmt.Errorf("decode task: version %d, job %q and image %d are not what version %d writes",
			p.Version, p.Job, p.Image, payloadVersion)
	}
	return job.Task{Job: p.Job, Image: p.Image, Generation: p.Generation, Queue: queue}, nil
}
