package simupstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
)

// Where the server takes calls of the OpenAI protocol. Such a server's base URL ends in OpenAIBase.
const (
	OpenAIBase      = "/v1"
	GenerationsPath = OpenAIBase + "/images/generations"
	EditsPath       = OpenAIBase + "/images/edits"
)

// maxPictureBody leaves room for a picture to edit, as base64 too.
const maxPictureBody = 48 << 20

// openAI is the images part of the OpenAI API. Models named gpt-image… behave as OpenAI's: they reply with base64, and take
// no response_format. Any other replies with a link, or with base64 if asked for b64_json, and revises prompts.
var openAI = protocol{
	maxBody: maxPictureBody, parse: parseOpenAI, authorized: (*Server).hasBearer, complaint: complainOpenAI,
	failure: func(status int, message string) any {
		kind := "invalid_request_error"
		if status >= http.StatusInternalServerError {
			kind = "server_error"
		}
		return map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": nil}}
	},
	answer: func(s *Server, r *http.Request, req Request) (any, error) { return s.answerOpenAI(r, req) },
}

// openAIBody is what a call may say.
type openAIBody struct {
	Model          string  `json:"model"`
	Prompt         string  `json:"prompt"`
	Size           string  `json:"size"` // WxH
	ResponseFormat string  `json:"response_format"`
	Seed           *int64  `json:"seed"` // as many compatible servers take it
	Steps          int     `json:"num_inference_steps"`
	CFG            float64 `json:"guidance_scale"`
	NegativePrompt *string `json:"negative_prompt"`
}

func parseOpenAI(req *Request, r *http.Request) {
	raw := req.Raw
	if media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == "multipart/form-data" {
		raw, req.Picture = readForm(req.Raw, params["boundary"])
	}
	var b openAIBody
	if json.Unmarshal(raw, &b) != nil {
		return
	}
	req.Body = Body{
		Prompt: b.Prompt, NegativePrompt: b.NegativePrompt, Steps: b.Steps, CFG: b.CFG, Seed: b.Seed,
		Model: b.Model, ResponseFormat: b.ResponseFormat, Width: defaultSide, Height: defaultSide,
	}
	if b.Size != "" && b.Size != "auto" {
		if n, err := fmt.Sscanf(b.Size, "%dx%d", &req.Body.Width, &req.Body.Height); err != nil || n != 2 {
			req.Body.Width, req.Body.Height = 0, 0
		}
	}
}

// defaultSide is that of a picture whose size nobody named.
const defaultSide = 1024

// readForm returns the fields of a form as JSON, and its image. What cannot be read is left out.
func readForm(raw []byte, boundary string) (fields, image []byte) {
	values := map[string]any{}
	parts := multipart.NewReader(bytes.NewReader(raw), boundary)
	for {
		part, err := parts.NextPart()
		if err != nil {
			break
		}
		content, err := io.ReadAll(part) // it is in memory already
		switch name := part.FormName(); {
		case err != nil:
		case part.FileName() != "":
			if name == "image" || name == "image[]" {
				image = content
			}
		case name == "seed" || name == "num_inference_steps" || name == "guidance_scale":
			values[name] = json.RawMessage(content)
		default:
			values[name] = string(content)
		}
	}
	fields, err := json.Marshal(values)
	if err != nil { // a number that is none
		return nil, image
	}
	return fields, image
}

func (b Body) isGPTImage() bool { return strings.HasPrefix(b.Model, "gpt-image") }

func complainOpenAI(req Request) string {
	switch b := req.Body; {
	case b.Prompt == "":
		return "Missing required parameter: 'prompt'."
	case !b.canBeDrawn():
		return "Invalid size: sides are 64 to 2048 pixels."
	case b.isGPTImage() && b.ResponseFormat != "":
		return "Unknown parameter: 'response_format'."
	case req.Path == EditsPath && len(req.Picture) == 0:
		return "Missing required parameter: 'image'."
	default:
		return ""
	}
}

func (s *Server) answerOpenAI(r *http.Request, req Request) (any, error) {
	picture := map[string]any{}
	if req.Body.isGPTImage() || req.Body.ResponseFormat == "b64_json" {
		data, err := s.paint(r, linkTo(req))
		if err != nil {
			return nil, err
		}
		picture["b64_json"] = data // encoded as base64
	} else {
		picture["url"] = s.base(r) + linkTo(req).path()
	}
	if !req.Body.isGPTImage() {
		picture["revised_prompt"] = "A detailed picture: " + req.Body.Prompt
	}
	return map[string]any{"created": time.Now().Unix(), "data": []any{picture}}, nil
}
