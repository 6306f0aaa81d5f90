package openai

import (
	"io"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// ChatStream writes one chat completion as server-sent events: Start, any number of Waiting and Beat, then Finish, Text
// or Fail. Each call is one Write. There are only data lines and comments: an id, event or retry line breaks some clients.
type ChatStream struct {
	events
	options ChatOptions
	header  chunk
}

// ChatOptions are a client's wishes for a stream.
type ChatOptions struct {
	IncludeUsage bool // end with a usage chunk
	Images       bool // pictures in place of Markdown
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
	Role    string         `json:"role,omitempty"`
	Content *string        `json:"content,omitempty"`
	Images  []MessageImage `json:"images,omitempty"`
}

// NewChatStream returns a stream of the job's completion on w.
func NewChatStream(w io.Writer, j job.Job, o ChatOptions) *ChatStream {
	return newChatStream(w, headerOf(j), o)
}

// NewTextStream returns a stream of an answer that is no picture on w; it ends with Text.
func NewTextStream(w io.Writer, model string, o ChatOptions) *ChatStream {
	return newChatStream(w, newHeader(model), o)
}

func newChatStream(w io.Writer, h header, o ChatOptions) *ChatStream {
	return &ChatStream{events: events{w}, options: o, header: chunk{
		ID: "chatcmpl-" + h.suffix, Object: "chat.completion.chunk", Created: h.created, Model: h.model,
	}}
}

// Start writes the assistant's role, so that the client sees an answer begin.
func (s *ChatStream) Start(job.Job) error {
	return s.send(s.choice(0, delta{Role: "assistant", Content: new("")}, nil))
}

// Beat writes a chunk without content, for front ends that count only data as a sign of life.
func (s *ChatStream) Beat() error { return s.send(s.choice(0, delta{Content: new("")}, nil)) }

// Finish writes the pictures of a finished job that has some, and the end of the stream.
func (s *ChatStream) Finish(j job.Job, _ []*Content) error {
	have := pictures(j)
	deltas := make([]delta, len(have))
	for i, p := range have {
		// One delta holds a whole picture, or clients that render as they go show half a link. Beside images there is no
		// content: some clients drop one of the two.
		if content, images := show(j, p, s.options.Images); images != nil {
			deltas[i].Images = images
		} else {
			deltas[i].Content = &content
		}
		// Choices after the first bring their role with them: a role for a picture that never came would be a choice
		// without an end.
		if i > 0 {
			deltas[i].Role = "assistant"
		}
	}
	return s.end(deltas)
}

// Text writes an answer that is no picture, and the end of the stream.
func (s *ChatStream) Text(text string) error { return s.end([]delta{{Content: &text}}) }

// end writes what each choice holds and closes them.
func (s *ChatStream) end(deltas []delta) error {
	all := make([]event, 0, 2*len(deltas)+1)
	for i, d := range deltas {
		all = append(all, s.choice(i, d, nil))
	}
	for i := range deltas {
		all = append(all, s.choice(i, delta{}, new("stop")))
	}
	if s.options.IncludeUsage {
		c := s.header
		c.Choices, c.Usage = []chunkChoice{}, &Usage{}
		all = append(all, event{data: c})
	}
	b, err := encodeEvents(all)
	if err != nil {
		return err
	}
	return s.write(append(b, "data: [DONE]\n\n"...))
}

func (s *ChatStream) choice(index int, d delta, finish *string) event {
	c := s.header
	c.Choices = []chunkChoice{{Index: index, Delta: d, FinishReason: finish}}
	return event{data: c}
}
