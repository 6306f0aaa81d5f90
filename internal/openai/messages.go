package openai

import (
	"encoding/json"
	"slices"
	"strings"
)

// conversation is what is read from a list of messages.
type conversation struct {
	empty  bool // there are no messages
	prompt string
	source *Source // the first picture of the last user message
	said   []message
}

// talk returns what the conversation says beside its last message.
func (c conversation) talk() Talk {
	var t Talk
	for _, m := range slices.Backward(c.said) {
		if m.role != "assistant" {
			continue
		}
		if t.Previous = lastMarkdownPicture(m.text); t.Previous != nil {
			break
		}
	}
	if reply, ok := housekeeping(c.said); ok {
		t.Text = &reply
	}
	return t
}

// conversation reads a member that holds messages; the last one of a user is the prompt. Only that one is read strictly:
// a history may hold anything.
func (o *object) conversation(name string) conversation {
	raw, ok := o.member(name)
	var messages []json.RawMessage
	if ok && json.Unmarshal(raw, &messages) != nil {
		o.fail(name, "a list of messages")
	}
	c := conversation{empty: len(messages) == 0}
	contents := make([]json.RawMessage, 0, len(messages))
	last := -1
	for _, raw := range messages {
		m := &object{}
		if json.Unmarshal(raw, &m.members) != nil {
			o.fail(name, "a list of objects with role and content")
			return c
		}
		role := value(m.text("role"))
		if m.err != nil {
			o.fail(name, "a list of objects whose role is a string")
			return c
		}
		if role == "" {
			continue // an item of a response's input that is no message
		}
		if role == "user" {
			last = len(contents)
		}
		content, _ := m.member("content")
		contents, c.said = append(contents, content), append(c.said, message{role: role})
	}
	for i, content := range contents {
		r := &reader{param: name, pictures: i == last}
		c.said[i].text = r.text(content)
		if i != last {
			continue
		}
		c.prompt, c.source = c.said[i].text, r.source
		if r.err != nil && o.err == nil {
			o.err = r.err
		}
	}
	return c
}

// reader reads the content of one message.
type reader struct {
	object
	param    string
	pictures bool    // read them too
	source   *Source // the first picture
}

// text returns the text of a content: a string, or parts whose texts are joined by a space.
func (r *reader) text(content json.RawMessage) string {
	if content == nil || isNull(content) {
		return ""
	}
	if s, ok := quoted(content); ok {
		return s
	}
	var parts []json.RawMessage
	if json.Unmarshal(content, &parts) != nil {
		r.fail(r.param, "a list of messages whose content is a string or a list of parts")
		return ""
	}
	texts := make([]string, 0, len(parts))
	for _, raw := range parts {
		if s := r.part(raw); s != "" {
			texts = append(texts, s)
		}
	}
	return strings.Join(texts, " ")
}

func (r *reader) part(raw json.RawMessage) string {
	if s, ok := quoted(raw); ok {
		return s
	}
	part := &object{}
	if json.Unmarshal(raw, &part.members) != nil {
		r.fail(r.param, "a list of messages whose content parts are objects")
		return ""
	}
	kind, text := value(part.text("type")), ""
	switch kind {
	case "image_url", "input_image":
		if r.pictures && r.source == nil {
			r.source = r.sourceOf(raw, r.param)
		}
	case "text", "input_text", "output_text", "":
		text = value(part.text("text"))
	}
	if part.err != nil {
		r.fail(r.param, "a list of messages whose text parts have a type and a text")
	}
	return text
}
