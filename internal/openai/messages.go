package openai

import (
	"encoding/json"
	"slices"
	"strings"
)

// chatPrompt returns the text of the last user message or, without messages, the bare prompt.
func (o *object) chatPrompt() string {
	raw, ok := o.member("messages")
	var messages []json.RawMessage
	if ok && json.Unmarshal(raw, &messages) != nil {
		o.fail("messages", "a list of messages")
		return ""
	}
	var prompt string
	if len(messages) == 0 {
		prompt = value(o.text("prompt"))
	} else {
		prompt = o.lastUserText(messages)
	}
	if o.err == nil && strings.TrimSpace(prompt) == "" {
		o.err = missing("messages", "messages must hold a message with role user that says what to draw")
	}
	return prompt
}

// lastUserText looks from the end, so that a long history, pictures in it included, is not read.
func (o *object) lastUserText(messages []json.RawMessage) string {
	for _, raw := range slices.Backward(messages) {
		m := &object{}
		if json.Unmarshal(raw, &m.members) != nil {
			o.fail("messages", "a list of objects with role and content")
			return ""
		}
		role := value(m.text("role"))
		if m.err != nil {
			o.fail("messages", "a list of objects whose role is a string")
			return ""
		}
		if role == "user" {
			content, _ := m.member("content")
			return o.contentText(content)
		}
	}
	return ""
}

// contentText returns the text of a message: a string, or parts whose texts are joined by a space.
func (o *object) contentText(content json.RawMessage) string {
	if content == nil || isNull(content) {
		return ""
	}
	var s string
	if json.Unmarshal(content, &s) == nil {
		return s
	}
	var parts []json.RawMessage
	if json.Unmarshal(content, &parts) != nil {
		o.fail("messages", "a list of messages whose content is a string or a list of parts")
		return ""
	}
	texts := make([]string, 0, len(parts))
	for _, raw := range parts {
		if s := o.partText(raw); s != "" {
			texts = append(texts, s)
		}
	}
	return strings.Join(texts, " ")
}

func (o *object) partText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	part := &object{}
	if json.Unmarshal(raw, &part.members) != nil {
		o.fail("messages", "a list of messages whose content parts are objects")
		return ""
	}
	kind, text := value(part.text("type")), ""
	switch kind {
	case "image_url", "input_image":
		if o.err == nil {
			o.err = invalid("messages", "this model cannot edit pictures: send a message without image parts")
		}
	case "text", "input_text", "":
		text = value(part.text("text"))
	}
	if part.err != nil {
		o.fail("messages", "a list of messages whose text parts have a type and a text")
	}
	return text
}
