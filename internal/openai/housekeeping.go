package openai

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// message is one message of a chat: who speaks, and the text.
type message struct{ role, text string }

// chat is a conversation that may hold a template.
type chat struct {
	messages []message
	heads    []string // how the messages begin, folded; empty for those that hold no template
	prompt   int      // the message that holds the template
}

// A template is a prompt that a chat front end ships and sends by itself, beside what its user wrote. match returns the
// place of the message that holds it, or -1.
type template struct {
	name   string
	match  func(chat) int
	answer func(chat) string
}

// housekeeping answers the prompts that front ends send for themselves (titles, tags, search queries, summaries) with a
// text in the form they ask for. They are told by the wording and the structure of the shipped templates alone, so that
// what a person wants drawn is never taken for one; ok is false for it.
func housekeeping(conversation []message) (reply string, ok bool) {
	if t, c := find(conversation); t != nil {
		return t.answer(c), true
	}
	return "", false
}

func newChat(conversation []message) chat {
	c := chat{messages: conversation, heads: make([]string, len(conversation))}
	for i, m := range conversation {
		// Front ends put their prompts in system messages or at the end.
		if i == len(conversation)-1 || m.role == "system" || m.role == "developer" {
			c.heads[i] = fold(head(m.text, headSize))
		}
	}
	return c
}

// find returns the template of a conversation; nil if there is none.
func find(conversation []message) (*template, chat) {
	if len(conversation) == 0 {
		return nil, chat{}
	}
	c := newChat(conversation)
	for i, t := range templates {
		if c.prompt = t.match(c); c.prompt >= 0 {
			return &templates[i], c
		}
	}
	return nil, chat{}
}

// text is the template with what the front end filled in.
func (c chat) text() string { return c.messages[c.prompt].text }

// last is the message at the end.
func (c chat) last() message { return c.messages[len(c.messages)-1] }

// headSize bounds what is compared with the templates: they are at the start, and a conversation may be megabytes.
const headSize = 4096

func head(s string, size int) string {
	if len(s) <= size {
		return s
	}
	return strings.ToValidUTF8(s[:size], "")
}

// fold makes text comparable: lower case, and one space for any white space.
func fold(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// opens matches a message that starts with a text and holds another not far from it.
func opens(start string, holds ...string) func(chat) int {
	start = fold(start)
	for i := range holds {
		holds[i] = fold(holds[i])
	}
	return func(c chat) int {
		return slices.IndexFunc(c.heads, func(text string) bool {
			return strings.HasPrefix(text, start) && !slices.ContainsFunc(holds, func(s string) bool {
				return !strings.Contains(text, s)
			})
		})
	}
}

// opensOneOf matches a message that starts with one of several texts.
func opensOneOf(starts []string) func(chat) int {
	folded := make([]string, len(starts))
	for i, s := range starts {
		folded[i] = fold(s)
	}
	return func(c chat) int {
		return slices.IndexFunc(c.heads, func(text string) bool {
			return slices.ContainsFunc(folded, func(start string) bool { return strings.HasPrefix(text, start) })
		})
	}
}

// ends matches a last message with a property.
func ends(holds func(string) bool) func(chat) int {
	return func(c chat) int {
		if holds(c.last().text) {
			return len(c.messages) - 1
		}
		return -1
	}
}

var (
	jsonKey     = regexp.MustCompile(`\{\s*"([a-z_]+)"\s*:\s*(\[?)`)
	taskSection = regexp.MustCompile(`(?im)^#+ +\**(output|guidelines|instructions|chat history)\b`)
)

// taskReplies are the members that the task prompts of Open WebUI ask for.
var taskReplies = map[string]func(chat) any{
	"title":      func(c chat) any { return c.title() },
	"tags":       func(chat) any { return []string{"Images"} },
	"follow_ups": func(chat) any { return []string{} },
	"queries":    func(chat) any { return []string{} },
	"prompt":     func(c chat) any { return c.lastSaid() },
	"text":       func(chat) any { return "" },
}

// isTask tells the "### Task:" prompts of Open WebUI by their structure, as administrators may write their own. Its
// prompt for questions about documents has the same headings, and a person's question inside: that is none.
func isTask(text string) bool {
	if !strings.HasPrefix(fold(head(text, 64)), "### task:") {
		return false
	}
	before, history, after := cutHistory(text)
	if strings.Contains(before, "<context>") || strings.Contains(before, "<user_query>") {
		return false
	}
	_, known, _ := askedFor(before + after)
	return history || (known && taskSection.MatchString(before+after))
}

// isOwnTask tells those that begin with other words by what they embed and what they ask for.
func isOwnTask(text string) bool {
	before, history, after := cutHistory(text)
	if !history || strings.Contains(before, "<context>") {
		return false
	}
	_, known, _ := askedFor(before + after)
	return known
}

// cutHistory returns what stands around the conversation that is embedded in a prompt.
func cutHistory(text string) (before string, found bool, after string) {
	start, end := strings.Index(text, "<chat_history>"), strings.LastIndex(text, "</chat_history>")
	if start < 0 || end < start {
		return text, false, ""
	}
	return text[:start], true, text[end:]
}

// askedFor returns the first member that a prompt shows in a JSON object, and whether it is one that is known.
func askedFor(text string) (key string, known, list bool) {
	all := jsonKey.FindAllStringSubmatch(text, -1)
	for _, m := range all {
		if _, ok := taskReplies[m[1]]; ok {
			return m[1], true, m[2] != ""
		}
	}
	if len(all) == 0 {
		return "", false, false
	}
	return all[0][1], false, all[0][2] != ""
}

func task(c chat) string {
	before, _, after := cutHistory(c.text())
	key, known, list := askedFor(before + after)
	switch {
	case known:
		return jsonObject(map[string]any{key: taskReplies[key](c)})
	case key == "":
		return c.title()
	case list:
		return jsonObject(map[string]any{key: []string{}})
	}
	return jsonObject(map[string]any{key: ""})
}

// isTopicNaming tells the topic naming of Cherry Studio by the form of the conversation, whatever the language or the
// wording of the system prompt.
func isTopicNaming(text string) bool {
	if !strings.HasPrefix(strings.TrimSpace(text), "[{") {
		return false
	}
	var turns []struct {
		Role     *string `json:"role"`
		MainText *string `json:"mainText"`
	}
	if json.NewDecoder(strings.NewReader(text)).Decode(&turns) != nil {
		return false
	}
	for _, t := range turns {
		if t.Role == nil || t.MainText == nil {
			return false
		}
	}
	return len(turns) > 0
}

// isCheck tells the test of a model's connection in Cherry Studio.
func isCheck(c chat) int {
	if slices.Equal(c.messages, []message{{"system", "test"}, {"user", "hi"}}) {
		return 1
	}
	return -1
}

// fixed answers with the same text whatever was said.
func fixed(reply string) func(chat) string {
	return func(chat) string { return reply }
}

func jsonObject(members map[string]any) string {
	b, err := Encode(members)
	if err != nil {
		return "{}"
	}
	return strings.TrimSpace(string(b))
}
