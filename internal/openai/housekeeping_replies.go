package openai

import (
	"slices"
	"strings"
	"unicode"
)

// toolChoice matches the tool selection of Open WebUI, which begins with descriptions of tools of any length.
func toolChoice(c chat) int {
	return slices.IndexFunc(c.messages, func(m message) bool {
		return m.role != "assistant" && strings.HasPrefix(m.text, "Available Tools:") &&
			strings.Contains(m.text, "choose and return the correct tool(s) from the list of available tools")
	})
}

// isQueryTitle tells the title prompt that starts with the person's words and ends with the instruction.
func isQueryTitle(text string) bool {
	if !strings.HasPrefix(text, "Here is the query:\n") {
		return false
	}
	return strings.Contains(text, "Create a concise, 3-5 word phrase ") && strings.Contains(text, "RESPOND ONLY WITH THE TITLE TEXT.")
}

func queryTitle(c chat) string {
	_, query, _ := strings.Cut(c.text(), "Here is the query:\n")
	if i := strings.LastIndex(query, "Create a concise, 3-5 word phrase "); i >= 0 {
		query = query[:i]
	}
	return orUntitled(short(query))
}

// merged returns the responses that should become one as they are: pictures cannot be merged.
func merged(c chat) string {
	text := c.text()
	const mark = "Responses from models:"
	i := strings.LastIndex(text, mark)
	if i < 0 {
		return untitled
	}
	return orUntitled(strings.TrimSpace(strings.ReplaceAll(text[i+len(mark):], `"""`, "")))
}

// given returns the text that a front end wants worked on, the last message without its wrapping: a model that draws
// cannot translate or rephrase it.
func (c chat) given() string {
	text := c.last().text
	if m := wrapped.FindStringSubmatch(strings.TrimLeft(text, " \n")); m != nil {
		text = m[1] + m[2] + m[3]
	}
	return orUntitled(strings.TrimSpace(text))
}

func givenTitle(c chat) string { return orUntitled(short(c.given())) }

func translateInput(c chat) string {
	if m := translateText.FindStringSubmatch(c.text()); m != nil {
		return orUntitled(m[1])
	}
	return c.given()
}

// notNeeded says in the form of the search prompt that there is nothing to search for.
func notNeeded(c chat) string {
	const question = "<question>\n    not_needed\n  </question>"
	text := c.text()
	var blocks []string
	for _, tool := range []string{"websearch", "knowledge"} {
		if strings.Contains(text, "<"+tool+">") {
			blocks = append(blocks, "<"+tool+">\n  "+question+"\n</"+tool+">")
		}
	}
	if blocks == nil {
		return "<question>\nnot_needed\n</question>"
	}
	return strings.Join(blocks, "\n")
}

func topicSummary(c chat) string {
	return jsonObject(map[string]any{"description": c.title(), "summary": c.summary()})
}

func languageAndTitle(c chat) string {
	return jsonObject(map[string]any{"language": c.language(), "title": c.title()})
}

func submitTitle(c chat) string {
	title := strings.NewReplacer("<", "", ">", "").Replace(c.title())
	return "<function_calls>\n<invoke>\n<tool_name>submit_title</tool_name>\n<parameters>\n<title>" + title +
		"</title>\n</parameters>\n</invoke>\n</function_calls>"
}

// scripts tell languages well enough for a title. Kana goes before Han, as Japanese uses both.
var scripts = []struct {
	table            *unicode.RangeTable
	language, locale string
}{
	{unicode.Hiragana, "Japanese", "ja-JP"},
	{unicode.Katakana, "Japanese", "ja-JP"},
	{unicode.Hangul, "Korean", "ko-KR"},
	{unicode.Han, "Chinese", "zh-CN"},
	{unicode.Cyrillic, "Russian", "ru-RU"},
	{unicode.Arabic, "Arabic", "ar"},
}

func (c chat) language() string {
	language, _ := script(strings.Join(c.said(), " "))
	return language
}

func (c chat) locale() string {
	_, locale := script(c.given())
	return locale
}

func script(text string) (language, locale string) {
	for _, s := range scripts {
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(s.table, r) }) {
			return s.language, s.locale
		}
	}
	return "English", "en-US"
}
