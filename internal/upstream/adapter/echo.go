package adapter

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// minEcho is the length, in bytes, from which a client's text is taken out wherever it stands, and from which a beginning of
// it is: upstreams cut off what they repeat. A shorter one could be the upstream's own word.
const minEcho = 12

// withoutEchoes takes the client's own texts out of what the upstream said, so that a prompt about a busy street or a style
// named balance does not decide what a refusal of it means. The rest is in lower case, and only for finding words in it.
//
// Who orders a picture of "quota" so hides a message about the quota. That is the lesser harm: it is this order's alone,
// while a key that rests is missed by everybody.
func withoutEchoes(said string, o imagegen.Order) string {
	said = strings.ToLower(said)
	for _, text := range clientTexts(o) {
		if len(text) < minEcho {
			said = withoutWord(said, text)
		} else {
			said = withoutText(said, text)
		}
	}
	return said
}

// clientTexts returns all that the client wrote in an order, as what was said is: on one line, in lower case. The longest
// come first: a part that is taken out before the whole would leave the rest of it behind.
func clientTexts(o imagegen.Order) []string {
	texts := []string{o.Prompt, o.Source}
	if o.NegativePrompt != nil {
		texts = append(texts, *o.NegativePrompt)
	}
	for name, raw := range o.Extra {
		texts = append(texts, name)
		var value any
		if json.Unmarshal(raw, &value) == nil {
			texts = appendTexts(texts, value)
		}
	}
	for i, text := range texts {
		texts[i] = strings.ToLower(oneLine(text))
	}
	slices.SortFunc(texts, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	texts = slices.Compact(texts)
	return slices.DeleteFunc(texts, func(text string) bool { return text == "" })
}

// appendTexts adds the strings in a JSON value, and the names of its fields, however deep.
func appendTexts(to []string, value any) []string {
	switch v := value.(type) {
	case string:
		to = append(to, v)
	case []any:
		for _, element := range v {
			to = appendTexts(to, element)
		}
	case map[string]any:
		for name, member := range v {
			to = appendTexts(append(to, name), member)
		}
	}
	return to
}

// withoutText takes a text of at least minEcho bytes out of what was said, each time as far as it is repeated.
func withoutText(said, text string) string {
	var kept strings.Builder
	for {
		before, after, found := strings.Cut(said, text[:minEcho])
		kept.WriteString(before)
		if !found {
			return kept.String()
		}
		kept.WriteByte(' ')
		n, more := 0, text[minEcho:]
		for n < len(after) && n < len(more) && after[n] == more[n] {
			n++
		}
		said = after[n:]
	}
}

// withoutWord takes a text out of what was said where it is not a part of a longer word.
func withoutWord(said, text string) string {
	var kept strings.Builder
	done, from := 0, 0 // up to where said is kept or taken out, and from where it is searched
	for {
		i := strings.Index(said[from:], text)
		if i < 0 {
			kept.WriteString(said[done:])
			return kept.String()
		}
		begin, end := from+i, from+i+len(text)
		if splitsWord(said, begin) || splitsWord(said, end) {
			_, size := utf8.DecodeRuneInString(said[begin:])
			from = begin + size
			continue
		}
		kept.WriteString(said[done:begin])
		kept.WriteByte(' ')
		done, from = end, end
	}
}

// splitsWord reports whether there are parts of a word on both sides of a place in s. Chinese has no space between words,
// so one that stands right beside another counts as a part of it.
func splitsWord(s string, at int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:at])
	after, _ := utf8.DecodeRuneInString(s[at:])
	return inWord(before) && inWord(after)
}

func inWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}
