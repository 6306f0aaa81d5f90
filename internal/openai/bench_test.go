package openai_test

import (
	"errors"
	"io"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func BenchmarkDecode(b *testing.B) {
	bodies := map[string]struct {
		body   string
		decode func([]byte) error
	}{
		"chat": {
			`{"model":"Z-Image","messages":[{"role":"system","content":"You draw."},{"role":"user","content":"一只可爱的小狗，1:2"}],"stream":false}`,
			func(body []byte) error { _, err := openai.DecodeChat(body); return err },
		},
		"images": {
			`{"model":"Z-Image","prompt":"a cat on a roof, oil on canvas","n":1,"size":"1024x1024","response_format":"url"}`,
			func(body []byte) error { _, err := openai.DecodeImages(body); return err },
		},
		"job": {
			`{"model":"Z-Image","prompt":"a cat on a roof, oil on canvas","n":4,"metadata":{"order":"42"}}`,
			func(body []byte) error { _, err := openai.DecodeJob(body); return err },
		},
	}
	for name, c := range bodies {
		b.Run(name, func(b *testing.B) {
			body := []byte(c.body)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := c.decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	j, waiting := drawn(queued(1), 0), queued(1)
	replies := map[string]func() error{
		"chat":   func() error { _, err := openai.Encode(openai.NewChatCompletion(j, false)); return err },
		"images": func() error { _, err := openai.Encode(openai.NewImagesReply(j, openai.FormatURL, nil)); return err },
		"job":    func() error { _, err := openai.Encode(openai.NewJob(waiting, job.Outlook{Position: 3})); return err },
		"stream": func() error {
			s := openai.NewChatStream(io.Discard, waiting, openai.ChatOptions{})
			return errors.Join(s.Start(waiting), s.Beat(), s.Finish(j, nil))
		},
	}
	for name, encode := range replies {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
