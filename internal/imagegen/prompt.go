package imagegen

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParsePrompt finds the ratios of the table that stand alone in a prompt. It returns the prompt without them and the
// last one as the table spells it. A prompt that holds none comes back as it was, byte for byte; a clean one never
// holds any. The time it takes grows with the prompt's length and no faster.
//
// A ratio stands alone when it touches no digit, ASCII letter, slash, further colon (of either width) nor a point
// before a digit. Keys of the table are two numbers of at most four digits with a colon between.
func ParsePrompt(prompt string, ratios map[string]Size) (clean, ratio string, found bool) {
	m, found := nextRatio(prompt, 0, ratios)
	if !found {
		return prompt, "", false
	}
	out := append(make([]byte, 0, len(prompt)), prompt[:m.start]...)
	for more := true; more; {
		ratio = m.key
		end := m.end
		m, more = nextRatio(prompt, end, ratios)
		out = closeGap(out, prompt[end:m.start], !more, ratios)
	}
	return string(out), ratio, true
}

// match is one ratio in a prompt.
type match struct {
	start, end int
	key        string
}

// nextRatio returns the first ratio at or after from, or a match at the prompt's very end and false.
func nextRatio(prompt string, from int, ratios map[string]Size) (match, bool) {
	for i := from; i < len(prompt); i++ {
		width := colonWidth(prompt[i:])
		if width == 0 {
			continue
		}
		start, end := i, i+width
		for start > from && isDigit(prompt[start-1]) {
			start--
		}
		for end < len(prompt) && isDigit(prompt[end]) {
			end++
		}
		// Looked up before the key is made, as most colons are in no ratio.
		w, h := prompt[start:i], prompt[i+width:end]
		if _, ok := ratios[w+":"+h]; ok && standsAlone(prompt, start, end) {
			return match{start: start, end: end, key: w + ":" + h}, true
		}
	}
	return match{start: len(prompt), end: len(prompt)}, false
}

// colonWidth returns the length in bytes of the colon that text begins with; zero: none.
func colonWidth(text string) int {
	switch {
	case text[0] == ':':
		return 1
	case text[0] == "："[0] && strings.HasPrefix(text, "："):
		return len("：")
	}
	return 0
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// standsAlone reports whether what surrounds prompt[start:end] lets it be a ratio.
func standsAlone(prompt string, start, end int) bool {
	before, size := utf8.DecodeLastRuneInString(prompt[:start])
	after, _ := utf8.DecodeRuneInString(prompt[end:])
	switch {
	case binds(before), before == '.': // the point is before a digit: the ratio's own
		return false
	case isColon(before):
		// "比例：3:4": this colon is the introducing word's.
		if introducer(prompt[:start-size]) == 0 {
			return false
		}
	}
	switch {
	case binds(after), isColon(after):
		return false
	case after == '.':
		digit, _ := utf8.DecodeRuneInString(prompt[end+1:])
		return !unicode.IsDigit(digit)
	}
	return true
}

// binds reports whether a rune makes what it touches part of something longer than a ratio.
func binds(r rune) bool {
	return r == '/' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || unicode.IsDigit(r)
}

func isColon(r rune) bool { return r == ':' || r == '：' }
