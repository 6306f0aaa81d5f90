package openai_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// A comment ends in one newline: an empty line after it is an event to parsers in released clients.
func TestWaiting(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		outlook job.Outlook
		want    string
	}{
		"nothing is known":     {job.Outlook{}, ": waiting\n"},
		"a place":              {job.Outlook{Position: 3}, ": queued position=3\n"},
		"a place and a time":   {job.Outlook{Position: 3, ETA: 12 * time.Second}, ": queued position=3 eta=12\n"},
		"a time":               {job.Outlook{ETA: 5 * time.Second}, ": waiting eta=5\n"},
		"a part of a second":   {job.Outlook{ETA: time.Millisecond}, ": waiting eta=1\n"},
		"a second and a part":  {job.Outlook{ETA: 1001 * time.Millisecond}, ": waiting eta=2\n"},
		"a time that has gone": {job.Outlook{ETA: -time.Second}, ": waiting\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, waiting := range map[string]func(*bytes.Buffer) error{
				"chat": func(b *bytes.Buffer) error {
					return openai.NewChatStream(b, job.Job{}, openai.ChatOptions{}).Waiting(c.outlook)
				},
				"images": func(b *bytes.Buffer) error {
					return openai.NewImageStream(b, false, openai.FormatURL).Waiting(c.outlook)
				},
				"response": func(b *bytes.Buffer) error { return openai.NewResponseStream(b, -1).Waiting(c.outlook) },
				"job":      func(b *bytes.Buffer) error { return openai.NewJobStream(b).Waiting(c.outlook) },
			} {
				var b bytes.Buffer
				if err := waiting(&b); err != nil || b.String() != c.want {
					t.Errorf("%s: got %q, %v, want %q", kind, b.String(), err, c.want)
				}
			}
		})
	}
}
