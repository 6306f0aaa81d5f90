package openai

import (
	"bytes"
	"fmt"
	"io"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// ChatStream writes one chat completion as server-sent events: Start, any number of Waiting and Beat, then Finish or
// Fail. Each call is one Write. There are only data lines and comments: an id, event or retry line breaks some clients.
type ChatStream struct {
	w      io.Writer
	header chunk
}

type chunk struct {
	ID      string        `json:"id"`
	Object  string        `json:"object"`
	Created int64         `json:"created"`
	Model   string        `json:"model"`
	Choices []chunkChoice `json:"choices"`
	Usage   *Usage        `json:"usage,omitempty"`
}

type chunkChoice struct {
	Index        int       `json:"index"`
	Delta        delta     `json:"delta"`
	Logprobs     *struct{} `json:"logprobs"`
	FinishReason *string   `json:"finish_reason"`
}

type delta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// NewChatStream returns a stream of the job's completion on w.
func NewChatStream(w io.Writer, j job.Job) *ChatStream {
	return &ChatStream{w: w, header: chunk{
		ID: completionID(j.ID), Object: "chat.completion.chunk",
		Created: j.CreatedAt.Unix(), Model: j.Spec.Model,
	}}
}

// Start writes the assistant's role, so that the client sees an answer begin.
func (s *ChatStream) Start() error {
	return s.send(s.choice(0, delta{Role: "assistant", Content: new("")}, nil))
}

// Waiting writes a comment; position is the job's place in the queue, 0 if it has left it or nobody knows.
// A comment ends in one newline: parsers in released clients take an empty line after it for an event without data.
func (s *ChatStream) Waiting(position int) error {
	if position > 0 {
		return s.write(fmt.Appendf(nil, ": queued position=%d\n", position))
	}
	return s.write([]byte(": waiting\n"))
}

// Beat writes a chunk without content, for front ends that count only data as a sign of life.
func (s *ChatStream) Beat() error { return s.send(s.choice(0, delta{Content: new("")}, nil)) }

// Finish writes the pictures of a finished job that has some, and the end of the stream.
func (s *ChatStream) Finish(j job.Job, includeUsage bool) error {
	have := pictures(j)
	chunks := make([]any, 0, 2*len(have)+1)
	for i, p := range have {
		// One delta holds a whole picture, or clients that render as they go show half a link. Choices after the first
		// bring their role with them: a role for a picture that never came would be a choice without an end.
		d := delta{Content: new(Markdown(j.Spec.Prompt, p.URL))}
		if i > 0 {
			d.Role = "assistant"
		}
		chunks = append(chunks, s.choice(i, d, nil))
	}
	for i := range have {
		chunks = append(chunks, s.choice(i, delta{}, new("stop")))
	}
	if includeUsage {
		c := s.header
		c.Choices, c.Usage = []chunkChoice{}, &Usage{}
		chunks = append(chunks, c)
	}
	b, err := events(chunks...)
	if err != nil {
		return err
	}
	return s.write(append(b, "data: [DONE]\n\n"...))
}

// Fail writes a failure in place of the picture. It is the last thing on the stream: clients take it for an exception.
func (s *ChatStream) Fail(e *imagegen.Error, requestID string) error {
	return s.send(NewErrorReply(e, requestID))
}

func (s *ChatStream) choice(index int, d delta, finish *string) chunk {
	c := s.header
	c.Choices = []chunkChoice{{Index: index, Delta: d, FinishReason: finish}}
	return c
}

func (s *ChatStream) send(v any) error {
	b, err := events(v)
	if err != nil {
		return err
	}
	return s.write(b)
}

func (s *ChatStream) write(b []byte) error {
	if _, err := s.w.Write(b); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return nil
}

func events(values ...any) ([]byte, error) {
	var b bytes.Buffer
	for _, v := range values {
		line, err := Encode(v)
		if err != nil {
			return nil, err
		}
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}
