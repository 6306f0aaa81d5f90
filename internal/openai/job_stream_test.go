package openai_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func TestJobStream(t *testing.T) {
	t.Parallel()
	first, last := queued(1), drawn(queued(1), 0)
	first.Version, last.Version = 1, 4
	var b bytes.Buffer
	s := openai.NewJobStream(&b)
	err := errors.Join(
		s.Tell(first, job.Outlook{Position: 3, ETA: 12 * time.Second}), s.Waiting(job.Outlook{Position: 1}), s.Tell(last, job.Outlook{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "job_stream.txt", b.Bytes())
}

func TestJobStreamTellsOfABrokenWriter(t *testing.T) {
	t.Parallel()
	s := openai.NewJobStream(brokenWriter{})
	for name, err := range map[string]error{"tell": s.Tell(queued(1), job.Outlook{}), "waiting": s.Waiting(job.Outlook{})} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v, want %v", name, err, errBroken)
		}
	}
}
