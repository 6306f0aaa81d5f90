package openai

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// ChatCompletion is the reply to a chat call.
type ChatCompletion struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"` // unix seconds
	Model   string       `json:"model"`
	Choices []ChatChoice `json:"choices"`
	Usage   Usage        `json:"usage"`
}

// ChatChoice is one picture of a chat reply.
type ChatChoice struct {
	Index        int         `json:"index"`
	Message      ChatMessage `json:"message"`
	Logprobs     *struct{}   `json:"logprobs"`
	FinishReason string      `json:"finish_reason"`
}

// ChatMessage is the assistant's message: a picture as Markdown in its content or, where the client asked for that, as an
// image beside an empty content. Both at once would be shown twice.
type ChatMessage struct {
	Role    string         `json:"role"`
	Content string         `json:"content"`
	Refusal *string        `json:"refusal"`
	Images  []MessageImage `json:"images,omitempty"`
}

// MessageImage is a picture of a message, in the form that OpenRouter introduced.
type MessageImage struct {
	Type     string   `json:"type"` // image_url
	ImageURL ImageURL `json:"image_url"`
}

// ImageURL holds a picture's URL.
type ImageURL struct {
	URL string `json:"url"`
}

// Usage counts tokens, of which pictures have none.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// NewChatCompletion encodes a finished job that has pictures: see [JobError]. With images they are not Markdown.
func NewChatCompletion(j job.Job, images bool) ChatCompletion {
	c := newCompletion(headerOf(j))
	for i, p := range pictures(j) {
		m := ChatMessage{Role: "assistant"}
		m.Content, m.Images = show(j, p, images)
		c.Choices = append(c.Choices, ChatChoice{Index: i, Message: m, FinishReason: "stop"})
	}
	return c
}

// NewTextCompletion encodes an answer that is no picture.
func NewTextCompletion(model, text string) ChatCompletion {
	c := newCompletion(newHeader(model))
	c.Choices = append(c.Choices, ChatChoice{Message: ChatMessage{Role: "assistant", Content: text}, FinishReason: "stop"})
	return c
}

func newCompletion(h header) ChatCompletion {
	return ChatCompletion{
		ID: "chatcmpl-" + h.suffix, Object: "chat.completion", Created: h.created, Model: h.model, Choices: []ChatChoice{},
	}
}

// show returns what a message holds of a picture.
func show(j job.Job, p imagegen.Image, images bool) (content string, list []MessageImage) {
	if images {
		return "", []MessageImage{{Type: "image_url", ImageURL: ImageURL{URL: p.URL}}}
	}
	return Markdown(j.Spec.Prompt, p.URL), nil
}

// header is what the replies to one request have in common.
type header struct {
	suffix  string // of every id
	created int64
	model   string
}

func headerOf(j job.Job) header {
	return header{suffix: strings.TrimPrefix(string(j.ID), "job_"), created: j.CreatedAt.Unix(), model: j.Spec.Model}
}

// newHeader is the header of a reply without a job.
func newHeader(model string) header {
	return header{suffix: strings.ToLower(rand.Text()), created: time.Now().Unix(), model: model}
}

// pictures returns the pictures that a job has so far. Their places among the n are not kept: a client that asked for
// three and gets two finds them at 0 and 1.
func pictures(j job.Job) []imagegen.Image {
	var have []imagegen.Image
	for _, p := range j.Pictures {
		if p.Image != nil {
			have = append(have, *p.Image)
		}
	}
	return have
}
