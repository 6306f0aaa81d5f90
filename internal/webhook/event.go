package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Event is the body of a delivery.
type Event struct {
	Type      string `json:"type"`      // job.completed, job.failed or job.cancelled
	Timestamp string `json:"timestamp"` // of the job's end: ISO 8601, UTC
	Data      any    `json:"data"`      // the job, as its own call shows it
}

// NewEvent returns the event of a job's end. data is what clients see of the job. It is an error if the job goes on.
func NewEvent(j job.Job, data any) (Event, error) {
	if !j.Status.Terminal() {
		return Event{}, fmt.Errorf("job %s is %s: no end to tell of", j.ID, j.Status)
	}
	return Event{
		Type: "job." + string(j.Status), Timestamp: j.CompletedAt.UTC().Format(time.RFC3339), Data: data,
	}, nil
}

// Message is what every try to deliver one event sends.
type Message struct {
	// ID names the event, by which its receiver recognises one that comes again.
	ID string
	// Payload is the body. The signature is of its very bytes.
	Payload []byte
}

// NewMessage returns the message of a job's end. A job ends once, so its id makes that of the message.
func NewMessage(j job.Job, data any) (Message, error) {
	event, err := NewEvent(j, data)
	if err != nil {
		return Message{}, err
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // as the job's own call writes it
	if err := enc.Encode(event); err != nil {
		return Message{}, fmt.Errorf("encode the event of job %s: %w", j.ID, err)
	}
	return Message{
		ID: "msg_" + strings.TrimPrefix(string(j.ID), "job_"), Payload: bytes.TrimSuffix(body.Bytes(), []byte("\n")),
	}, nil
}
