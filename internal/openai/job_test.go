package openai_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func TestNewJob(t *testing.T) {
	t.Parallel()
	bare := queued(1)
	bare.Spec.NegativePrompt, bare.Spec.Quality = nil, ""
	running := queued(2)
	running.Status, running.StartedAt = job.StatusInProgress, at(1730800001)
	partly := drawn(refused(queued(3), 0), 2)
	cases := map[string]struct {
		job      job.Job
		position int
		golden   string
	}{
		"a queued job knows its place":                    {queued(1), 3, "job_queued.json"},
		"a silent request shows null and auto":            {bare, 0, "job_bare.json"},
		"a running job has no result yet":                 {running, 0, "job_in_progress.json"},
		"a finished job has its pictures":                 {drawn(drawn(queued(2), 0), 1), 0, "job_completed.json"},
		"a partly finished job names what failed":         {partly, 0, "job_partial.json"},
		"a failed job has an error":                       {refused(queued(1), 0), 0, "job_failed.json"},
		"a cancelled job has neither":                     {ended(queued(1), job.StatusCancelled), 0, "job_cancelled.json"},
		"a finished job has no place, whatever was asked": {drawn(queued(1), 0), 9, "job_completed_one.json"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goldenJSON(t, c.golden, openai.NewJob(c.job, job.Outlook{Position: c.position, ETA: time.Duration(c.position) * 3900 * time.Millisecond}))
		})
	}
}

func TestJobError(t *testing.T) {
	t.Parallel()
	broken := ended(queued(1), job.StatusFailed)
	cases := map[string]struct {
		job  job.Job
		want imagegen.Kind // empty: none
	}{
		"pictures are an answer":                  {drawn(queued(1), 0), ""},
		"one picture of two is an answer":         {drawn(refused(queued(2), 0), 1), ""},
		"a failed job fails as its picture did":   {refused(queued(1), 0), imagegen.KindUpstreamRejected},
		"a cancelled job has nothing to give":     {ended(queued(1), job.StatusCancelled), imagegen.KindJobCancelled},
		"a record without any outcome is a bug":   {broken, imagegen.KindInternal},
		"a cancelled job gives what it has drawn": {ended(drawn(queued(2), 1), job.StatusCancelled), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got imagegen.Kind
			if e := openai.JobError(c.job); e != nil {
				got = e.Kind
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestJobErrorKeepsTheRecordAsItIs(t *testing.T) {
	t.Parallel()
	j := drawn(refused(queued(2), 0), 1)
	openai.NewJob(j, job.Outlook{})
	if diff := cmp.Diff(j.Pictures[0].Error.Message, "the prompt was refused"); diff != "" {
		t.Error(diff)
	}
}
