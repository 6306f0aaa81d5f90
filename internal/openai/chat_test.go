package openai_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func TestChatCompletion(t *testing.T) {
	t.Parallel()
	goldenJSON(t, "chat.json", openai.NewChatCompletion(drawn(queued(1), 0), false))
	goldenJSON(t, "chat_partial.json", openai.NewChatCompletion(drawn(drawn(refused(queued(3), 1), 0), 2), false))
	goldenJSON(t, "chat_images.json", openai.NewChatCompletion(drawn(queued(1), 0), true))
}

func TestImagesReply(t *testing.T) {
	t.Parallel()
	two, contents := drawn(drawn(queued(2), 0), 1), []*openai.Content{{Format: "png", Data: []byte("one")}, nil}
	goldenJSON(t, "images.json", openai.NewImagesReply(two, openai.FormatURL, nil))
	goldenJSON(t, "images_base64.json", openai.NewImagesReply(two, openai.FormatBase64, contents))
	goldenJSON(t, "images_both.json", openai.NewImagesReply(two, openai.FormatBoth, contents))
}

func TestModels(t *testing.T) {
	t.Parallel()
	m := imagegen.Model{ID: "Z-Image", OwnedBy: "sd-exacg-gateway", Created: 1730800000, Aliases: []string{"dall-e-3"}}
	goldenJSON(t, "models.json", openai.NewModelList([]imagegen.Entry{{ID: "Z-Image", Model: m}, {ID: "dall-e-3", Model: m}}))
	goldenJSON(t, "models_none.json", openai.NewModelList(nil))
}

func TestChatStream(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		golden  string
		options openai.ChatOptions
		end     func(*openai.ChatStream) error
	}{
		"one picture": {"stream.txt", openai.ChatOptions{}, func(s *openai.ChatStream) error {
			return s.Finish(drawn(queued(1), 0), nil)
		}},
		"two pictures and the usage": {"stream_two.txt", openai.ChatOptions{IncludeUsage: true}, func(s *openai.ChatStream) error {
			return s.Finish(drawn(drawn(queued(2), 0), 1), nil)
		}},
		"two pictures that are no Markdown": {"stream_images.txt", openai.ChatOptions{Images: true}, func(s *openai.ChatStream) error {
			return s.Finish(drawn(drawn(queued(2), 0), 1), nil)
		}},
		"a text": {"stream_text.txt", openai.ChatOptions{}, func(s *openai.ChatStream) error {
			return s.Text(`{"title": "A cat"}`)
		}},
		"a failure": {"stream_failure.txt", openai.ChatOptions{}, func(s *openai.ChatStream) error {
			return s.Fail(queued(1), &imagegen.Error{Kind: imagegen.KindUpstreamError, Message: "all attempts failed"}, "req_1")
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			s := openai.NewChatStream(&out, queued(1), c.options)
			err := errors.Join(s.Start(queued(1)), s.Waiting(job.Outlook{Position: 3}), s.Waiting(job.Outlook{}), s.Beat(), c.end(s))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.golden, out.Bytes())
		})
	}
}

var errBroken = errors.New("broken pipe")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestChatStreamTellsOfABrokenWriter(t *testing.T) {
	t.Parallel()
	s := openai.NewChatStream(brokenWriter{}, job.Job{}, openai.ChatOptions{})
	for name, err := range map[string]error{
		"start": s.Start(queued(1)), "waiting": s.Waiting(job.Outlook{Position: 1}), "beat": s.Beat(), "finish": s.Finish(job.Job{}, nil),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v, want %v", name, err, errBroken)
		}
	}
}
