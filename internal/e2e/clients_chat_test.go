package e2e_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

type chatImages []struct {
	Type     string `json:"type"`
	ImageURL struct {
		URL string `json:"url"`
	} `json:"image_url"`
}

type chatCompletion struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []struct {
		Index   *int `json:"index"`
		Message struct {
			Role    string     `json:"role"`
			Content *string    `json:"content"`
			Images  chatImages `json:"images"`
		} `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *tokenCounts `json:"usage"`
}

type tokenCounts struct {
	PromptTokens     *int `json:"prompt_tokens"`
	CompletionTokens *int `json:"completion_tokens"`
	TotalTokens      *int `json:"total_tokens"`
}

func (c *tokenCounts) complete() bool {
	return c != nil && c.PromptTokens != nil && c.CompletionTokens != nil && c.TotalTokens != nil
}

type chatChunk struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []struct {
		Index *int `json:"index"`
		Delta struct {
			Role    *string    `json:"role"`
			Content *string    `json:"content"`
			Images  chatImages `json:"images"`
		} `json:"delta"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *tokenCounts `json:"usage"`
}

func completion(t *testing.T, x exchange) chatCompletion {
	t.Helper()
	var c chatCompletion
	x.reply.into(t, &c)
	return c
}

// chatStrictTypes: content is a string and never null or a list, numbers are numbers.
func chatStrictTypes(t *testing.T, x exchange) {
	t.Helper()
	c := completion(t, x)
	if c.ID == "" || c.Object != "chat.completion" || c.Created == 0 || c.Model == "" || !c.Usage.complete() || len(c.Choices) != x.want.Pictures {
		t.Errorf("reply %s", x.reply.body)
	}
	for i, choice := range c.Choices {
		if choice.Index == nil || *choice.Index != i || choice.Message.Role != "assistant" || choice.Message.Content == nil || choice.FinishReason != "stop" {
			t.Errorf("choice %d of %s", i, x.reply.body)
		}
	}
}

func chatOneMarkdownPicture(t *testing.T, x exchange) {
	t.Helper()
	for _, choice := range completion(t, x).Choices {
		if !onePicture.MatchString(value(choice.Message.Content)) || choice.Message.Images != nil {
			t.Errorf("message %+v of %s", choice.Message, x.reply.body)
		}
	}
}

// chatImagesNoMarkdown: clients that know images show it, and the Markdown as well if there is any.
func chatImagesNoMarkdown(t *testing.T, x exchange) {
	t.Helper()
	for _, choice := range completion(t, x).Choices {
		images := choice.Message.Images
		if len(images) != 1 || images[0].Type != "image_url" || images[0].ImageURL.URL == "" || value(choice.Message.Content) != "" {
			t.Errorf("message of %s", x.reply.body)
		}
	}
}

// streamHeaders: nothing between gateway and client may hold the stream back, pack it or keep it.
func streamHeaders(t *testing.T, x exchange) {
	t.Helper()
	h := x.reply.header
	if h.Get("X-Accel-Buffering") != "no" || h.Get("Content-Encoding") != "" || h.Get("Content-Length") != "" || !strings.Contains(h.Get("Cache-Control"), "no-cache") {
		t.Errorf("headers %v", h)
	}
}

// streamPlainLines does not count the comments: on a busy machine a picture may come before the first.
func streamPlainLines(t *testing.T, x exchange) {
	t.Helper()
	wantPlainEvents(t, string(x.reply.body))
}

// streamJSONLines: Open WebUI reads lines of at most 64 KiB, and wants an object in each.
func streamJSONLines(t *testing.T, x exchange) {
	t.Helper()
	for line := range bytes.Lines(x.reply.body) {
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: "))
		if !ok || string(data) == "[DONE]" {
			continue
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(data, &object); err != nil || object == nil || len(line) >= 64<<10 {
			t.Errorf("a line of %d bytes: %v\n%.200s", len(line), err, line)
		}
		if _, ok := object["error"]; ok {
			t.Errorf("the stream failed: %s", line)
		}
	}
}

// chunks reads a stream whose last line must be [DONE].
func chunks(t *testing.T, x exchange) (all []chatChunk) {
	t.Helper()
	const done = "data: [DONE]\n\n"
	events, ok := strings.CutSuffix(string(x.reply.body), done)
	if !ok {
		t.Fatalf("the stream does not end in [DONE]:\n%s", x.reply.body)
	}
	for line := range strings.Lines(events) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var c chatChunk
			if err := json.Unmarshal([]byte(data), &c); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, c)
		}
	}
	return all
}

// streamOnePictureDelta: the role comes first, the whole Markdown in one delta, then the end; all chunks are of one reply.
func streamOnePictureDelta(t *testing.T, x exchange) {
	t.Helper()
	all := chunks(t, x)
	var said []string // the deltas that say something, then the finish
	for i, c := range all {
		if c.ID == "" || c.ID != all[0].ID || c.Created == 0 || c.Created != all[0].Created || c.Model != all[0].Model || c.Object != "chat.completion.chunk" {
			t.Errorf("chunk %d is of another reply: %+v", i, c)
		}
		for _, choice := range c.Choices {
			role, text := choice.Delta.Role, value(choice.Delta.Content)
			if choice.Index == nil || *choice.Index != 0 || choice.Delta.Images != nil || role != nil && *role != "assistant" {
				t.Errorf("chunk %d: %+v", i, choice)
			}
			if i == 0 && (role == nil || text != "" || choice.Delta.Content == nil) {
				t.Errorf("the first chunk is not the role and an empty text: %+v", choice)
			}
			if text != "" {
				said = append(said, text)
			}
			if choice.FinishReason != nil {
				said = append(said, *choice.FinishReason)
			}
		}
	}
	if len(said) != 2 || !onePicture.MatchString(said[0]) || said[1] != "stop" {
		t.Errorf("the stream says %q", said)
	}
}

// streamUsage: the chunk with the usage has no choices and is the last, and comes to those who asked only.
func streamUsage(t *testing.T, x exchange, asked bool) {
	t.Helper()
	all := chunks(t, x)
	if len(all) == 0 {
		t.Fatal("no chunks")
	}
	for i, c := range all[:len(all)-1] {
		if c.Usage != nil {
			t.Errorf("chunk %d of %d has the usage", i, len(all))
		}
		if len(c.Choices) == 0 {
			t.Errorf("chunk %d of %d has no choices", i, len(all))
		}
	}
	last := all[len(all)-1]
	if asked != last.Usage.complete() || asked != (len(last.Choices) == 0) {
		t.Errorf("the last chunk is %+v, and usage was asked for: %t", last, asked)
	}
}
