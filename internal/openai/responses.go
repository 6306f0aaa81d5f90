package openai

import (
	"strconv"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Response is an object of the Responses API, as far as it deals with pictures. What a request may set and has no meaning
// here is given back as OpenAI's default.
type Response struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	CreatedAt          int64             `json:"created_at"`   // unix seconds
	CompletedAt        *int64            `json:"completed_at"` // null until it has ended
	Status             string            `json:"status"`       // queued, in_progress, completed, failed or cancelled
	Background         bool              `json:"background"`
	Error              *ResponseError    `json:"error"`
	IncompleteDetails  *struct{}         `json:"incomplete_details"`
	Instructions       *string           `json:"instructions"`
	MaxOutputTokens    *int              `json:"max_output_tokens"`
	Metadata           map[string]string `json:"metadata"`
	Model              string            `json:"model"`
	Output             []OutputItem      `json:"output"` // empty, never null, until there is one
	ParallelToolCalls  bool              `json:"parallel_tool_calls"`
	PreviousResponseID *string           `json:"previous_response_id"`
	Store              bool              `json:"store"`
	Temperature        *float64          `json:"temperature"`
	Text               ResponseText      `json:"text"`
	ToolChoice         string            `json:"tool_choice"`
	Tools              []struct{}        `json:"tools"`
	TopP               *float64          `json:"top_p"`
	Truncation         string            `json:"truncation"`
	Usage              *ResponseUsage    `json:"usage"` // null until it has ended
}

// ResponseError is why a response failed.
type ResponseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Type    string `json:"type"`
}

// ResponseText says that the output's text has no structure.
type ResponseText struct {
	Format struct {
		Type string `json:"type"`
	} `json:"format"`
}

// ResponseUsage counts tokens, of which pictures have none.
type ResponseUsage struct {
	InputTokens        int `json:"input_tokens"`
	InputTokensDetails struct {
		CachedTokens int `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	OutputTokens        int `json:"output_tokens"`
	OutputTokensDetails struct {
		ReasoningTokens int `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	TotalTokens int `json:"total_tokens"`
}

// OutputItem is an image_generation_call or a message: the fields of the other are absent.
type OutputItem struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Status string `json:"status"`
	// Of an image_generation_call. Result is absent, not null, until it is there: some clients take only a string.
	Result        []byte `json:"result,omitempty"`
	OutputFormat  string `json:"output_format,omitempty"`
	Size          string `json:"size,omitempty"`
	Quality       string `json:"quality,omitempty"`
	RevisedPrompt string `json:"revised_prompt,omitempty"` // only where the upstream said what it made of the prompt
	// Of a message.
	Role    string        `json:"role,omitempty"`
	Content *[]OutputText `json:"content,omitempty"`
}

// OutputText is the text of a message.
type OutputText struct {
	Type        string     `json:"type"` // output_text
	Text        string     `json:"text"`
	Annotations []struct{} `json:"annotations"`
	Logprobs    []struct{} `json:"logprobs"`
}

// ResponseID returns the id under which the job is a response.
func ResponseID(id job.ID) string { return "resp_" + strings.TrimPrefix(string(id), "job_") }

// JobOfResponse returns the job of a response's id. What is no such id gives one of no job.
func JobOfResponse(id string) job.ID {
	suffix, ok := strings.CutPrefix(id, "resp_")
	if !ok {
		return ""
	}
	return job.ID("job_" + suffix)
}

// NewResponse encodes a job in any state. Of a finished one, contents are as for [NewImagesReply]: a picture without
// them is in the message only.
func NewResponse(j job.Job, contents []*Content) Response {
	r := newResponse(headerOf(j))
	r.Status, r.Background, r.CompletedAt = string(j.Status), j.Background, seconds(j.CompletedAt)
	if j.Metadata != nil {
		r.Metadata = j.Metadata
	}
	if !j.Status.Terminal() {
		return r
	}
	r.Usage = &ResponseUsage{}
	have := pictures(j)
	if e := shortfall(j); e != nil && len(have) == 0 {
		o := newErrorObject(e)
		r.Error = &ResponseError{Code: o.Code, Message: o.Message, Type: o.Type}
	}
	if len(have) == 0 {
		return r
	}
	for i, p := range have {
		if i < len(contents) && contents[i] != nil {
			r.Output = append(r.Output, drawnItem(j, len(r.Output), p, contents[i]))
		}
	}
	r.Output = append(r.Output, messageItem(headerOf(j).suffix, markdowns(j, have)))
	return r
}

// NewTextResponse encodes an answer that is no picture.
func NewTextResponse(model, text string) Response {
	h := newHeader(model)
	r := newResponse(h)
	r.Status, r.CompletedAt, r.Usage = string(job.StatusCompleted), new(time.Now().Unix()), &ResponseUsage{}
	r.Output = append(r.Output, messageItem(h.suffix, text))
	return r
}

func newResponse(h header) Response {
	r := Response{
		ID: "resp_" + h.suffix, Object: "response", CreatedAt: h.created, Model: h.model, Store: true,
		Metadata: map[string]string{}, Output: []OutputItem{}, Tools: []struct{}{}, ToolChoice: "auto", Truncation: "disabled",
	}
	r.Text.Format.Type = "text"
	return r
}

// imageItem is the n-th picture of a response, still to be drawn. Pictures are counted as they come, whichever they are.
func imageItem(j job.Job, n int) OutputItem {
	return OutputItem{
		Type: "image_generation_call", ID: "ig_" + headerOf(j).suffix + "_" + strconv.Itoa(n), Status: string(job.StatusInProgress),
	}
}

// drawnItem is the n-th picture of a response.
func drawnItem(j job.Job, n int, p imagegen.Image, c *Content) OutputItem {
	item := imageItem(j, n)
	item.Status, item.Result, item.OutputFormat = string(job.StatusCompleted), c.Data, c.Format
	item.Size = strconv.Itoa(p.Width) + "x" + strconv.Itoa(p.Height)
	item.Quality, item.RevisedPrompt = newJobRequest(j.Spec).Quality, p.RevisedPrompt
	return item
}

func messageItem(suffix, text string) OutputItem {
	return OutputItem{
		Type: "message", ID: "msg_" + suffix, Status: string(job.StatusCompleted), Role: "assistant", Content: &[]OutputText{newOutputText(text)},
	}
}

func newOutputText(text string) OutputText {
	return OutputText{Type: "output_text", Text: text, Annotations: []struct{}{}, Logprobs: []struct{}{}}
}

func markdowns(j job.Job, have []imagegen.Image) string {
	all := make([]string, len(have))
	for i, p := range have {
		all[i] = Markdown(j.Spec.Prompt, p.URL)
	}
	return strings.Join(all, "\n\n")
}
