package openai

import (
	"encoding/json"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Ask is what every generation request says.
type Ask struct {
	Model  string // as the client wrote it; empty: the first of the catalogue
	Params imagegen.Params
	Stream bool
	Source *Source // the picture to edit; nil: none was given
	// Field is the field that prompt and picture came in, where that is neither prompt nor image.
	Field string
}

// ChatRequest is what the gateway reads from the body of a chat completion.
type ChatRequest struct {
	Ask
	IncludeUsage bool // the stream ends with a usage chunk
	// Images asks for pictures in the message's images in place of Markdown.
	Images bool
	Talk
}

// Talk is what a conversation says beside its last message.
type Talk struct {
	// Previous is the picture that the assistant drew last: what a model that edits works on where no other is given.
	Previous *Source
	// Text answers a prompt that is the client's own (a title, tags), which nobody wants drawn; nil: it is none.
	Text *string
}

// ImagesRequest is what the gateway reads from the body of an images generation, an edit and a job.
type ImagesRequest struct {
	Ask
	Format ResponseFormat
}

// ResponseFormat is how an images reply carries its pictures.
type ResponseFormat string

// The formats. FormatDefault leaves it to the model and the name it was asked for by.
const (
	FormatDefault ResponseFormat = ""
	FormatURL     ResponseFormat = "url"
	FormatBase64  ResponseFormat = "b64_json"
	FormatBoth    ResponseFormat = "both" // for models that are set up so; no client can ask for it
)

// DecodeChat reads the body of POST /v1/chat/completions. Its error is a classified *imagegen.Error.
func DecodeChat(body []byte) (ChatRequest, error) {
	o := decodeObject(body)
	if o.err != nil {
		return ChatRequest{}, o.err
	}
	r := ChatRequest{Ask: o.ask(), Images: o.asksForImages()}
	options := o.nested("stream_options")
	r.IncludeUsage = options.boolean("include_usage")
	if options.err != nil {
		o.fail("stream_options", "an object whose include_usage is true or false")
	}
	c := o.conversation("messages")
	if r.Field = "messages"; c.empty {
		r.Field, c.prompt = "", value(o.text("prompt"))
	}
	r.Params.Prompt, r.Source, r.Talk = c.prompt, c.source, c.talk()
	if r.Text == nil { // a client's own prompt may be all in a system message
		o.requirePrompt(c.prompt, "messages", "messages must hold a message with role user that says what to draw")
	}
	return r, o.err
}

// DecodeImages reads the body of POST /v1/images/generations. Its error is a classified *imagegen.Error.
func DecodeImages(body []byte) (ImagesRequest, error) {
	o := decodeObject(body)
	if o.err != nil {
		return ImagesRequest{}, o.err
	}
	return o.images()
}

// images reads what generations, edits and jobs have in common.
func (o *object) images() (ImagesRequest, error) {
	r := ImagesRequest{Ask: o.ask(), Format: o.responseFormat()}
	r.Params.Prompt = value(o.text("prompt"))
	o.requirePrompt(r.Params.Prompt, "prompt", "prompt is required: say what to draw")
	return r, o.err
}

func (o *object) requirePrompt(prompt, param, message string) {
	if o.err == nil && strings.TrimSpace(prompt) == "" {
		o.err = missing(param, message)
	}
}

// responseFormat takes what it does not know for absent: chat front ends send the chat API's objects here too, and some
// clients repeat a request whose response_format was refused.
func (o *object) responseFormat() ResponseFormat {
	raw, ok := o.member("response_format")
	var f ResponseFormat
	if ok && json.Unmarshal(raw, &f) == nil && (f == FormatURL || f == FormatBase64) {
		return f
	}
	return FormatDefault
}

// asksForImages reports whether modalities names images, as OpenRouter's clients ask for pictures beside the text.
func (o *object) asksForImages() bool {
	raw, ok := o.member("modalities")
	var modalities []any
	if !ok || json.Unmarshal(raw, &modalities) != nil {
		return false
	}
	for _, m := range modalities {
		if m == "image" {
			return true
		}
	}
	return false
}

// ask reads the options that all generation endpoints share.
func (o *object) ask() Ask {
	return Ask{Model: value(o.text("model")), Stream: o.boolean("stream"), Params: imagegen.Params{
		NegativePrompt:    o.text("negative_prompt"),
		N:                 o.integer("n"),
		Width:             o.integer("width"),
		Height:            o.integer("height"),
		Size:              value(o.text("size")),
		Quality:           value(o.text("quality")),
		CFG:               o.number("cfg"),
		Steps:             o.integer("steps"),
		Seed:              o.integer64("seed"),
		OutputFormat:      value(o.text("output_format")),
		OutputCompression: o.integer("output_compression"),
		Extra:             o.extra(),
	}}
}

// extra returns the members that are not the gateway's own. The model takes those that it passes through.
func (o *object) extra() map[string]json.RawMessage {
	var extra map[string]json.RawMessage
	for name, raw := range o.members {
		if imagegen.Reserved(name) {
			continue
		}
		if extra == nil {
			extra = map[string]json.RawMessage{}
		}
		extra[name] = raw
	}
	return extra
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
