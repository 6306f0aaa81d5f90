package openai

// Message is a message of a chat, for tests.
type Message struct{ Role, Text string }

// Housekeeping answers the prompts that front ends send for themselves.
func Housekeeping(chat []Message) (string, bool) { return housekeeping(messages(chat)) }

// Template names the template that a chat holds; it is empty if there is none.
func Template(chat []Message) string {
	if t, _ := find(messages(chat)); t != nil {
		return t.name
	}
	return ""
}

// Templates names them all.
func Templates() []string {
	names := make([]string, len(templates))
	for i, t := range templates {
		names[i] = t.name
	}
	return names
}

func messages(chat []Message) []message {
	m := make([]message, len(chat))
	for i, c := range chat {
		m[i] = message{role: c.Role, text: c.Text}
	}
	return m
}
