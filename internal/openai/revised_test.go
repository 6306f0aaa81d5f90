package openai_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// TestRevisedPrompt looks for what an upstream made of the prompt in every reply that has a place for it: at the picture
// it was said of, and nowhere else.
func TestRevisedPrompt(t *testing.T) {
	t.Parallel()
	j := drawn(drawn(queued(2), 0), 1)
	j.Pictures[1].Image.RevisedPrompt = "a small, happy dog"
	contents := []*openai.Content{{Format: "png", Data: []byte("one")}, {Format: "png", Data: []byte("two")}}
	for name, b := range map[string][]byte{
		"images":   asJSON(t, openai.NewImagesReply(j, openai.FormatURL, nil)),
		"base64":   asJSON(t, openai.NewImagesReply(j, openai.FormatBase64, contents)),
		"response": asJSON(t, openai.NewResponse(j, contents)),
		"job":      asJSON(t, openai.NewJob(j, job.Outlook{})),
		"stream":   imageEvents(t, j, contents),
	} {
		if n := bytes.Count(b, []byte(`"revised_prompt":"a small, happy dog"`)); n != 1 || bytes.Count(b, []byte("revised")) != 1 {
			t.Errorf("%s has it %d times:\n%s", name, n, b)
		}
	}
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func imageEvents(t *testing.T, j job.Job, contents []*openai.Content) []byte {
	t.Helper()
	var b strings.Builder
	if err := openai.NewImageStream(&b, false, openai.FormatBase64).Finish(j, contents); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}
