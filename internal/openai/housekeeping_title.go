package openai

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// untitled is the title of a conversation in which nobody said anything.
const untitled = "New Chat"

// title cuts a title from the first thing that the person said.
func (c chat) title() string {
	for _, s := range c.said() {
		if t := short(s); t != "" {
			return t
		}
	}
	return untitled
}

// lastSaid returns the last thing that the person said, in one line.
func (c chat) lastSaid() string {
	said := c.said()
	if len(said) == 0 {
		return untitled
	}
	return orUntitled(inLine(said[len(said)-1]))
}

func orUntitled(s string) string {
	if s == "" {
		return untitled
	}
	return s
}

// summary returns what the person asked for, newest first, for a front end that sends it as context later.
func (c chat) summary() string {
	const size = 1200
	var b strings.Builder
	said := c.said()
	for i := len(said) - 1; i >= 0 && b.Len() < size; i-- {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(inLine(head(said[i], size)))
	}
	return orUntitled(head(b.String(), size))
}

// said returns what the person said, oldest first: as the template quotes it or, if it quotes nothing, the other
// messages.
func (c chat) said() []string {
	for _, s := range []string{c.last().text, c.text()} {
		if texts := transcript(s); len(texts) > 0 {
			return texts
		}
	}
	var texts []string
	for i, m := range c.messages {
		if m.role == "user" && i != c.prompt && strings.TrimSpace(m.text) != "" {
			texts = append(texts, m.text)
		}
	}
	return texts
}

var (
	embedded  = regexp.MustCompile(`(?s)<(?:chat_history|chatHistory|content)>(.*)</(?:chat_history|chatHistory|content)>`)
	taggedSay = regexp.MustCompile(`(?s)<user>(.*?)</user>`)
	// turn is the start of a turn in a transcript; the first group says that it is the person's.
	turn = regexp.MustCompile(`(?mi)^[\s>|*\[-]*(?:(user(?: message)?|human|you|用户)|assistant|ai|bot|model|response|session|system|title)[\]*]*\s*[:：]`)
)

// transcript returns what the person says in a conversation that is written down in a text; nil if none is.
func transcript(text string) []string {
	if m := embedded.FindStringSubmatch(text); m != nil {
		if turns := turns(m[1]); len(turns) > 0 {
			return turns
		}
		return nonEmpty(m[1])
	}
	return turns(text)
}

func turns(text string) []string {
	if texts := jsonTurns(text); texts != nil {
		return texts
	}
	if all := taggedSay.FindAllStringSubmatch(text, -1); all != nil {
		var texts []string
		for _, m := range all {
			texts = append(texts, nonEmpty(m[1])...)
		}
		return texts
	}
	all := turn.FindAllStringSubmatchIndex(text, -1)
	var texts []string
	for i, m := range all {
		if m[2] < 0 {
			continue
		}
		end := len(text)
		if i+1 < len(all) {
			end = all[i+1][0]
		}
		texts = append(texts, nonEmpty(text[m[1]:end])...)
	}
	return texts
}

// jsonTurns reads a conversation in the form [{"role": "user", "mainText": "..."}].
func jsonTurns(text string) []string {
	if !strings.HasPrefix(strings.TrimSpace(text), "[{") {
		return nil
	}
	var said []struct {
		Role     string `json:"role"`
		MainText string `json:"mainText"`
	}
	if json.NewDecoder(strings.NewReader(text)).Decode(&said) != nil {
		return nil
	}
	var texts []string
	for _, s := range said {
		if s.Role == "user" {
			texts = append(texts, nonEmpty(s.MainText)...)
		}
	}
	return texts
}

// quotation is what transcripts put around what was said.
const quotation = " \t\r\n\"'`“”"

func nonEmpty(s string) []string {
	s = strings.Trim(s, quotation)
	if s == "" {
		return nil
	}
	return []string{s}
}

// between answers with a title cut from what stands between two marks of the last message.
func between(open, end string) func(chat) string {
	return func(c chat) string {
		_, s, _ := strings.Cut(c.last().text, open)
		s, _, _ = strings.Cut(s, end)
		return orUntitled(short(s))
	}
}

const (
	titleWords   = 5
	titleColumns = 30
)

var picture = regexp.MustCompile(`!\[[^\]]*\]\([^)]*\)`)

// short cuts a title from a text: the start of its first clause, in one line; empty if the text has no words.
func short(text string) string {
	const marks = quotation + "#*_~|<>()[]{}=+-–—.,;:!?…。，、；：！？「」『』《》（）【】"
	text = picture.ReplaceAllString(head(text, headSize), " ")
	line, _, _ := strings.Cut(strings.TrimLeft(text, marks), "\n")
	return strings.Trim(cutWords(clause(inLine(line))), marks)
}

// inLine puts a text into one line without control characters.
func inLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

// clause returns the first clause that says something: not the greeting before a comma.
func clause(s string) string {
	for i, r := range s {
		after := s[i+len(string(r)):]
		switch {
		case strings.ContainsRune("。！？；，", r):
		case strings.ContainsRune(",.!?;", r) && strings.HasPrefix(after, " "):
		default:
			continue
		}
		if strings.Contains(s[:i], " ") || columns(s[:i]) >= 12 {
			return s[:i]
		}
	}
	return s
}

// cutWords keeps whole words, but for a first one that is too long by itself, as where a script has no spaces.
func cutWords(s string) string {
	words := strings.Fields(s)
	n := 0
	for n < min(len(words), titleWords) && columns(strings.Join(words[:n+1], " ")) <= titleColumns {
		n++
	}
	if n == 0 {
		return cutColumns(s)
	}
	for n < len(words) && n > 1 && slices.Contains(loose, strings.ToLower(words[n-1])) {
		n--
	}
	return strings.Join(words[:n], " ")
}

// loose are words that a title cannot end with.
var loose = []string{"a", "an", "the", "of", "in", "on", "at", "to", "by", "for", "from", "with", "and", "or"}

// cutColumns keeps what fits, and tears no letter from its marks and no joined emoji apart.
func cutColumns(s string) string {
	const joiner = '\u200d'
	width, safe := 0, 0
	var before rune
	for i, r := range s {
		if !unicode.Is(unicode.M, r) && r != joiner && before != joiner {
			safe = i
		}
		if width += column(r); width > titleColumns {
			return s[:safe]
		}
		before = r
	}
	return s
}

func columns(s string) int {
	n := 0
	for _, r := range s {
		n += column(r)
	}
	return n
}

// column weighs a character: one of a script that writes words with one or two characters takes the room of three.
func column(r rune) int {
	if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) ||
		(r >= '\u3000' && r <= '\u303f') || (r >= '\uff00' && r <= '\uff60') {
		return 3
	}
	return 1
}
