package openai

import (
	"strings"

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

// ChatMessage is the assistant's message: a Markdown picture.
type ChatMessage struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

// Usage counts tokens, of which pictures have none.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// NewChatCompletion encodes a finished job that has pictures: see [JobError].
func NewChatCompletion(j job.Job) ChatCompletion {
	c := ChatCompletion{
		ID: completionID(j.ID), Object: "chat.completion",
		Created: j.CreatedAt.Unix(), Model: j.Spec.Model,
		Choices: []ChatChoice{},
	}
	for i, p := range pictures(j) {
		c.Choices = append(c.Choices, ChatChoice{
			Index:        i,
			Message:      ChatMessage{Role: "assistant", Content: Markdown(j.Spec.Prompt, p.URL)},
			FinishReason: "stop",
		})
	}
	return c
}

func completionID(id job.ID) string { return "chatcmpl-" + strings.TrimPrefix(string(id), "job_") }

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
