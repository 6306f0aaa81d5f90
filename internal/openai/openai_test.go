package openai_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path) //nolint:gosec // a file of testdata
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(want)); diff != "" {
		t.Errorf("%s (-got +want):\n%s", name, diff)
	}
}

func goldenJSON(t *testing.T, name string, v any) {
	t.Helper()
	b, err := openai.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name, b)
}

func at(second int64) time.Time { return time.Unix(second, 0) }

// queued returns a job for n pictures that nobody has started.
func queued(n int) job.Job {
	negative := "blurry"
	spec := imagegen.Spec{
		Model: "Z-Image", Upstreams: []string{"exacg"}, ModelIndex: 5, Prompt: "一只可爱的小狗", NegativePrompt: &negative,
		Width: 1024, Height: 2048, Steps: 8, CFG: 7, Quality: "auto",
	}
	for i := range n {
		spec.Seeds = append(spec.Seeds, uint32(123+i))
	}
	return job.Job{
		ID: "job_abc", Status: job.StatusQueued, Owner: "owner", Class: job.ClassInteractive, Spec: spec,
		CreatedAt: at(1730800000), Pictures: make([]job.Picture, n),
	}
}

func drawn(j job.Job, i int) job.Job {
	j.Pictures[i] = job.Picture{Attempts: 1, Image: &imagegen.Image{
		URL: "https://img.example/" + "abc"[i:i+1] + ".png?x=1&y=2", Seed: j.Spec.Seeds[i],
		Width: j.Spec.Width, Height: j.Spec.Height,
	}}
	j.Calls = append(j.Calls, job.Call{
		Image: i, Attempt: 1, Upstream: "exacg", StartedAt: at(1730800001), Duration: 8123 * time.Millisecond,
		Outcome: job.CallOK, Billed: imagegen.BilledYes,
	})
	return ended(j, job.StatusCompleted)
}

func refused(j job.Job, i int) job.Job {
	j.Pictures[i] = job.Picture{Attempts: 1, Error: &imagegen.Error{
		Kind: imagegen.KindUpstreamRejected, Param: "prompt", Message: "the prompt was refused",
	}}
	j.Calls = append(j.Calls, job.Call{
		Image: i, Attempt: 1, Upstream: "exacg", StartedAt: at(1730800001), Duration: 90 * time.Millisecond,
		Outcome: job.CallRefused, Billed: imagegen.BilledNo,
	})
	return ended(j, job.StatusFailed)
}

func ended(j job.Job, s job.Status) job.Job {
	j.Status, j.StartedAt, j.CompletedAt, j.ExpiresAt = s, at(1730800001), at(1730800009), at(1730886409)
	return j
}
