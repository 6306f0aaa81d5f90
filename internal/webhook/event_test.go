package webhook_test

import (
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

// ended returns a job that ended in a time zone other than UTC.
func ended(s job.Status) job.Job {
	at := time.Date(2025, 11, 5, 18, 0, 9, 5e8, time.FixedZone("CST", 8*3600))
	return job.Job{ID: "job_abcdefghijklmnopqrstuvwxyz", Status: s, CompletedAt: at}
}

func TestNewMessage(t *testing.T) {
	t.Parallel()
	data := map[string]string{"url": "https://example.com/a.png?a=1&b=<2>"}
	for status, wantType := range map[job.Status]string{
		job.StatusCompleted: "job.completed", job.StatusFailed: "job.failed", job.StatusCancelled: "job.cancelled",
	} {
		m, err := webhook.NewMessage(ended(status), data)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"type":"` + wantType + `","timestamp":"2025-11-05T10:00:09Z","data":{"url":"https://example.com/a.png?a=1&b=<2>"}}`
		if string(m.Payload) != want {
			t.Errorf("payload is %s, want %s", m.Payload, want)
		}
		if want := "msg_abcdefghijklmnopqrstuvwxyz"; m.ID != want {
			t.Errorf("id is %s, want %s", m.ID, want)
		}
	}
}

func TestNewMessageRefuses(t *testing.T) {
	t.Parallel()
	for _, status := range []job.Status{job.StatusQueued, job.StatusInProgress, ""} {
		if m, err := webhook.NewMessage(ended(status), nil); err == nil {
			t.Errorf("%q: %s", status, m.Payload)
		}
	}
	if _, err := webhook.NewMessage(ended(job.StatusFailed), func() {}); err == nil {
		t.Error("a job without JSON makes a message")
	}
}
