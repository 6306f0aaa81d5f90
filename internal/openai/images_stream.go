package openai

import (
	"io"
	"strconv"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// ImageStream writes the pictures of an images call as server-sent events: any number of Waiting and Beat, then Finish or
// Fail. There are no partial pictures: upstreams send whole ones.
type ImageStream struct {
	events
	kind   string
	format ResponseFormat
}

// imageEvent is the event of a finished picture.
type imageEvent struct {
	Type         string `json:"type"`
	CreatedAt    int64  `json:"created_at"` // unix seconds
	B64JSON      []byte `json:"b64_json,omitempty"`
	URL          string `json:"url,omitempty"`
	Size         string `json:"size"`
	Quality      string `json:"quality"`
	Background   string `json:"background"`
	OutputFormat string `json:"output_format,omitempty"`
	// RevisedPrompt is not in OpenAI's own events; it is there only where the upstream changed the prompt.
	RevisedPrompt string     `json:"revised_prompt,omitempty"`
	Usage         ImageUsage `json:"usage"`
}

// ImageUsage counts tokens, of which pictures have none.
type ImageUsage struct {
	InputTokens        int          `json:"input_tokens"`
	InputTokensDetails imageDetails `json:"input_tokens_details"`
	OutputTokens       int          `json:"output_tokens"`
	TotalTokens        int          `json:"total_tokens"`
}

type imageDetails struct {
	ImageTokens int `json:"image_tokens"`
	TextTokens  int `json:"text_tokens"`
}

// NewImageStream returns a stream on w; edit says that a picture was changed, which names the events.
func NewImageStream(w io.Writer, edit bool, f ResponseFormat) *ImageStream {
	kind := "image_generation"
	if edit {
		kind = "image_edit"
	}
	return &ImageStream{events: events{w}, kind: kind, format: f}
}

// Start writes a comment, so that the reply begins at once.
func (s *ImageStream) Start(job.Job) error { return s.Waiting(job.Outlook{}) }

// Beat writes nothing: clients of this stream know no event without a picture.
func (s *ImageStream) Beat() error { return nil }

// Finish writes the pictures of a finished job that has some. contents are as for [NewImagesReply].
func (s *ImageStream) Finish(j job.Job, contents []*Content) error {
	var all []event
	for i, p := range pictures(j) {
		e := imageEvent{
			Type: s.kind + ".completed", CreatedAt: j.CreatedAt.Unix(), Quality: newJobRequest(j.Spec).Quality, Background: "auto",
			Size: strconv.Itoa(p.Width) + "x" + strconv.Itoa(p.Height), OutputFormat: j.Spec.OutputFormat,
			RevisedPrompt: p.RevisedPrompt,
		}
		if s.format != FormatBase64 {
			e.URL = p.URL
		}
		if s.format.Needs() && contents[i] != nil {
			e.B64JSON, e.OutputFormat = contents[i].Data, contents[i].Format
		}
		if e.URL != "" || e.B64JSON != nil {
			all = append(all, event{name: e.Type, data: e})
		}
	}
	return s.send(all...)
}
