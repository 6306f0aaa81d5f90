package openai

import (
	"encoding/json"
	"fmt"
)

// ResponsesRequest is what the gateway reads from the body of POST /v1/responses.
type ResponsesRequest struct {
	Ask
	Background bool              // answer at once; the response is polled
	Metadata   map[string]string // given back with the response
	Talk
}

// DecodeResponses reads the body of POST /v1/responses: input is a string or a list of messages, and the options are
// those of the image_generation tool, or the gateway's own beside it. Its error is a classified *imagegen.Error.
func DecodeResponses(body []byte) (ResponsesRequest, error) {
	o := decodeObject(body)
	if o.err != nil {
		return ResponsesRequest{}, o.err
	}
	o.adopt(o.imageTool())
	r := ResponsesRequest{Ask: o.ask(), Background: o.background(), Metadata: o.metadata()}
	r.Field = "input"
	raw, _ := o.member("input")
	var c conversation
	if prompt, ok := quoted(raw); ok {
		c.prompt, c.said = prompt, []message{{role: "user", text: prompt}}
	} else {
		c = o.conversation("input")
	}
	if instructions := value(o.text("instructions")); instructions != "" {
		c.said = append([]message{{role: "system", text: instructions}}, c.said...)
	}
	r.Params.Prompt, r.Source, r.Talk = c.prompt, c.source, c.talk()
	if r.Text == nil {
		o.requirePrompt(c.prompt, "input", "input is required: a text, or a list of messages whose last one of the user says what to draw")
	}
	return r, o.err
}

// background reads whether to answer at once. Of an images request the word means what is behind the picture.
func (o *object) background() bool {
	raw, _ := o.member("background")
	return string(raw) == "true"
}

// imageTool returns the image_generation tool, or an empty object: a picture is drawn without it too, as there is
// nothing else that this gateway does.
func (o *object) imageTool() *object {
	raw, ok := o.member("tools")
	var tools []json.RawMessage
	if !ok || json.Unmarshal(raw, &tools) != nil {
		return &object{}
	}
	for _, raw := range tools {
		tool := &object{}
		if json.Unmarshal(raw, &tool.members) == nil && value(tool.text("type")) == "image_generation" {
			return tool
		}
	}
	return &object{}
}

// toolOptions are the members of the image_generation tool that mean what they mean in an images request. Its model and
// its background (transparent or not) do not.
var toolOptions = []string{"size", "quality", "output_format", "output_compression", "n"}

// adopt takes over the tool's options where the request itself does not set them.
func (o *object) adopt(tool *object) {
	for _, name := range toolOptions {
		_, set := o.member(name)
		if raw, ok := tool.member(name); ok && !set {
			o.members[name] = raw
		}
	}
}

// OpenAI's own bounds of metadata: pairs, and bytes of keys and values.
const (
	maxMetadata      = 16
	maxMetadataKey   = 64
	maxMetadataValue = 512
)

// metadata reads a map of strings; what else is in there is left out.
func (o *object) metadata() map[string]string {
	raw, ok := o.member("metadata")
	var all map[string]any
	if !ok || json.Unmarshal(raw, &all) != nil {
		return nil
	}
	m := make(map[string]string, len(all))
	for k, v := range all {
		s, ok := v.(string)
		if !ok {
			continue
		}
		if len(m) == maxMetadata || len(k) > maxMetadataKey || len(s) > maxMetadataValue {
			o.fail("metadata", fmt.Sprintf("at most %d pairs of a key of up to %d bytes and a text of up to %d", maxMetadata, maxMetadataKey, maxMetadataValue))
			return nil
		}
		m[k] = s
	}
	return m
}
