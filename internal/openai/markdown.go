package openai

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAlt bounds the text beside a picture, in characters as they are shown.
const maxAlt = 80

// Markdown returns one CommonMark image and nothing else, whatever the prompt holds: clients put it on a page.
func Markdown(prompt, url string) string {
	return "![" + escapeAlt(altText(prompt)) + "](" + destination(url) + ")"
}

// altText returns the prompt as one line of at most maxAlt characters.
func altText(prompt string) string {
	line := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(prompt, "\uFFFD"))
	runes := []rune(strings.Join(strings.Fields(line), " "))
	return strings.TrimSpace(string(runes[:min(len(runes), maxAlt)]))
}

// escapeAlt takes their meaning from the characters that have one inside the brackets. Code spans, autolinks and HTML
// bind closer than brackets and could swallow the closing one; so does a formula between dollar signs, which many
// chat front ends read. Other punctuation is left alone, for those who look at the Markdown itself.
func escapeAlt(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\[]<&`*_~$", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// entity is what CommonMark would replace by a character inside a URL.
var entity = regexp.MustCompile(`&(#?[0-9A-Za-z]+);`)

// destination makes a URL safe between parentheses. What it encodes means the same encoded: characters that have no
// place in a URL, and parentheses.
func destination(url string) string {
	var b strings.Builder
	for i, r := range url {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(url[i:])
			r = -1 // a stray byte, or the replacement character itself: encoded either way
		}
		if r == -1 || !unicode.IsPrint(r) || strings.ContainsRune(" ()<>\\\"`", r) {
			for _, c := range []byte(url[i : i+size]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
			continue
		}
		b.WriteRune(r)
	}
	return entity.ReplaceAllString(b.String(), "&${1}%3B")
}
