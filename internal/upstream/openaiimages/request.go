package openaiimages

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// request returns the call that an order asks for: a form where there is a picture to edit, else JSON.
func (c *Client) request(ctx context.Context, o imagegen.Order) (adapter.Request, *imagegen.CallError) {
	r := adapter.Request{URL: c.generations, Auth: c.auth, HasPicture: true}
	body, err := adapter.EncodeBody(c.fields(o), o.Extra)
	if err != nil {
		return r, adapter.Unencodable(err)
	}
	r.Body = body
	if o.Source == "" && o.SourceFile == "" {
		return r, nil
	}
	image, failure := c.caller.Source(ctx, c.config.Source, o)
	if failure != nil {
		return r, failure
	}
	r.URL = c.edits
	r.Body, r.ContentType, err = form(body, image)
	if err != nil {
		return r, adapter.Unencodable(err)
	}
	return r, nil
}

// fields are the request's own fields.
func (c *Client) fields(o imagegen.Order) map[string]any {
	model := o.Model
	if name, ok := c.config.Models[o.Model]; ok {
		model = name
	}
	all := map[string]any{
		"model": model, "prompt": o.Prompt, "n": 1, "size": strconv.Itoa(o.Width) + "x" + strconv.Itoa(o.Height),
	}
	if format := c.responseFormat(model); format != noFormat {
		all["response_format"] = format
	}
	for ours, theirs := range c.config.Fields {
		switch ours {
		case "seed":
			all[theirs] = o.Seed
		case "steps":
			all[theirs] = o.Steps
		case "cfg":
			all[theirs] = o.CFG
		case "negative_prompt":
			if o.NegativePrompt != nil {
				all[theirs] = *o.NegativePrompt
			}
		}
	}
	return all
}

// responseFormat returns what a model is asked for. A name may have its maker in front, as in openai/gpt-image-1.
func (c *Client) responseFormat(model string) string {
	name := strings.ToLower(model[strings.LastIndexByte(model, '/')+1:])
	switch {
	case c.config.ResponseFormat != "":
		return c.config.ResponseFormat
	case strings.HasPrefix(name, "gpt-image"), strings.HasPrefix(name, "chatgpt-image"):
		return noFormat
	default:
		return "b64_json"
	}
}

// values returns the fields of a JSON body as a form has them: strings as they are, all else as JSON.
func values(body []byte) (map[string]string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("read fields: %w", err)
	}
	all := make(map[string]string, len(fields))
	for name, raw := range fields {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		all[name] = text
	}
	return all, nil
}
