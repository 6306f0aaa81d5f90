package openai

import (
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// ImagesReply is the reply to an images call.
type ImagesReply struct {
	Created int64       `json:"created"` // unix seconds
	Data    []ImageData `json:"data"`
}

// ImageData is one picture of an images reply: its URL or its bytes, both only for models that are set up so.
type ImageData struct {
	URL     string `json:"url,omitempty"`
	B64JSON []byte `json:"b64_json,omitempty"`
	// RevisedPrompt is what the upstream made of the prompt, where it said so.
	RevisedPrompt string `json:"revised_prompt,omitempty"`
}

// Content is a picture's bytes, for replies that hold them.
type Content struct {
	Format string // png, jpeg, webp, gif or avif
	Data   []byte
}

// Needs reports whether the format needs the pictures' bytes.
func (f ResponseFormat) Needs() bool { return f == FormatBase64 || f == FormatBoth }

// Resolve settles a format that the request left open: the model's own, else base64 where the model was asked for by a
// name whose clients expect that, as OpenAI's gpt-image models know no URLs, else URLs.
func (f ResponseFormat) Resolve(m imagegen.Model, asked string) ResponseFormat {
	if f != FormatDefault {
		return f
	}
	if m.DefaultResponseFormat != "" {
		return ResponseFormat(m.DefaultResponseFormat)
	}
	asked = strings.ToLower(asked)
	if strings.HasPrefix(asked, "gpt-image-") || strings.HasPrefix(asked, "chatgpt-image-") {
		return FormatBase64
	}
	return FormatURL
}

// Pictures returns the pictures that a job has so far, in the order in which replies hold them.
func Pictures(j job.Job) []imagegen.Image { return pictures(j) }

// NewImagesReply encodes a finished job that has pictures: see [JobError]. contents[i] belongs to picture i of
// [Pictures]; it is nil where the bytes could not be had, and such a picture is left out where they are needed.
func NewImagesReply(j job.Job, f ResponseFormat, contents []*Content) ImagesReply {
	r := ImagesReply{Created: j.CreatedAt.Unix(), Data: []ImageData{}}
	for i, p := range pictures(j) {
		d := ImageData{RevisedPrompt: p.RevisedPrompt}
		if f != FormatBase64 {
			d.URL = p.URL
		}
		if f.Needs() && contents[i] != nil {
			d.B64JSON = contents[i].Data
		}
		if d.URL != "" || d.B64JSON != nil {
			r.Data = append(r.Data, d)
		}
	}
	return r
}
