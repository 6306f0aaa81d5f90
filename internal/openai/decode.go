package openai

import (
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// ChatRequest is what the gateway reads from the body of a chat completion.
type ChatRequest struct {
	Model        string // as the client wrote it; empty: the first of the catalogue
	Params       imagegen.Params
	Stream       bool
	IncludeUsage bool // the stream ends with a usage chunk
}

// ImagesRequest is what the gateway reads from the body of an images generation, and of a job.
type ImagesRequest struct {
	Model  string // as the client wrote it; empty: the first of the catalogue
	Params imagegen.Params
	Stream bool
}

// DecodeChat reads the body of POST /v1/chat/completions. Its error is a classified *imagegen.Error.
func DecodeChat(body []byte) (ChatRequest, error) {
	o := decodeObject(body)
	if o.err != nil {
		return ChatRequest{}, o.err
	}
	r := ChatRequest{Model: value(o.text("model")), Params: o.params(), Stream: o.boolean("stream")}
	options := o.nested("stream_options")
	r.IncludeUsage = options.boolean("include_usage")
	if options.err != nil {
		o.fail("stream_options", "an object whose include_usage is true or false")
	}
	r.Params.Prompt = o.chatPrompt()
	return r, o.err
}

// DecodeImages reads the body of POST /v1/images/generations. Its error is a classified *imagegen.Error.
func DecodeImages(body []byte) (ImagesRequest, error) {
	o := decodeObject(body)
	if o.err != nil {
		return ImagesRequest{}, o.err
	}
	r := ImagesRequest{Model: value(o.text("model")), Params: o.params(), Stream: o.boolean("stream")}
	if f := value(o.text("response_format")); f != "" && f != "url" && o.err == nil {
		o.err = invalid("response_format", "response_format must be url: only url is available in this version")
	}
	r.Params.Prompt = value(o.text("prompt"))
	if o.err == nil && strings.TrimSpace(r.Params.Prompt) == "" {
		o.err = missing("prompt", "prompt is required: say what to draw")
	}
	return r, o.err
}

// params reads the options that all generation endpoints share.
func (o *object) params() imagegen.Params {
	return imagegen.Params{
		NegativePrompt: o.text("negative_prompt"),
		N:              o.integer("n"),
		Width:          o.integer("width"),
		Height:         o.integer("height"),
		Size:           value(o.text("size")),
		Quality:        value(o.text("quality")),
		CFG:            o.number("cfg"),
		Steps:          o.integer("steps"),
		Seed:           o.integer64("seed"),
	}
}

func missing(param, message string) *imagegen.Error {
	return &imagegen.Error{Kind: imagegen.KindMissingParameter, Param: param, Message: message}
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
