package imagegen

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// introducers are the words that go with the ratio they stand before; a longer one before those it ends in.
var introducers = []string{
	"--aspect-ratio", "--aspect_ratio", "--aspect", "--ratio", "--ar", "—ar",
	"aspect ratio", "aspect-ratio", "aspect_ratio", "ratio",
	"画面比例", "图片比例", "图像比例", "画幅比例", "宽高比例", "长宽比例", "尺寸比例", "比例", "比率",
	"宽高比", "长宽比", "纵横比", "寬高比", "長寬比", "縱橫比", "画幅", "尺寸",
}

// links may stand between an introducing word and its ratio.
var links = []string{":", "：", "=", "为", "是", " of"}

// brackets are pairs whose halves are of equal length in bytes.
var brackets = []string{"()", "（）", "[]", "【】", "{}", "「」", "『』", "“”", "《》", "〈〉"}

const (
	separators = ",，、;；。|—"
	dashes     = "-–" // separators where white space is on both sides
	stops      = ".!?！？…"
)

// closeGap appends text to out; a ratio has been cut from between them. What belonged to the ratio goes too: the word
// that introduces it, brackets that hold nothing else, and the separator before it, or the one after it where it led
// the prompt, a line or brackets. The white space of one side remains; at the prompt's end, none.
//
// Text is looked at once, and what is looked at in out is either cut or of bounded length: prompts made of nothing but
// ratios, blanks and brackets take linear time too.
func closeGap(out []byte, text string, last bool, ratios map[string]Size) []byte {
	out, text, left := widen(out, text)
	out, separated := cutSeparators(out, left)
	first := len(out) == 0 || opens(out)
	led := first || !separated && strings.Contains(left, "\n")
	if led || endsIn(out, stops) {
		text = cutStop(text)
	}
	rest := strings.TrimLeftFunc(text, unicode.IsSpace)
	right := text[:len(text)-len(rest)]
	if led {
		rest = strings.TrimLeftFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(separators, r) })
	}
	gap := right
	switch {
	case first, last && rest == "":
		gap = ""
	case strings.Count(left, "\n") > strings.Count(right, "\n"), right == "" && !leans(rest):
		gap = left
	}
	if gap == "" && joins(out, rest, ratios) {
		gap = " "
	}
	return append(append(out, gap...), rest...)
}

// widen cuts introducing words and emptied brackets around a gap. Left stands for the white space before all of them.
func widen(out []byte, text string) (kept []byte, rest, left string) {
	inner := strings.TrimLeftFunc(text, unicode.IsSpace)
	for {
		out, left = cutSpace(out)
		if n := introduction(out); n > 0 {
			out = out[:len(out)-n]
			continue
		}
		n := enclosed(out, inner)
		if n == 0 {
			return out, text, left
		}
		out, text = out[:len(out)-n], inner[n:]
		inner = strings.TrimLeftFunc(text, unicode.IsSpace)
	}
}

// cutSpace cuts the white space at out's end and returns what may be put back for it: at most an empty line.
func cutSpace(out []byte) (kept []byte, space string) {
	kept = bytes.TrimRightFunc(out, unicode.IsSpace)
	cut := out[len(kept):]
	switch lines := bytes.Count(cut, []byte("\n")); {
	case len(cut) == 0:
		return kept, ""
	case lines == 0:
		return kept, " "
	default:
		return kept, "\n\n"[:min(lines, 2)]
	}
}

// introduction returns the length of the introducing word at out's end, its link included; zero: none.
func introduction(out []byte) int {
	word := out
	for _, link := range links {
		if bytes.HasSuffix(word, []byte(link)) {
			word = word[:len(word)-len(link)]
			break
		}
	}
	if r, size := utf8.DecodeLastRune(word); unicode.IsSpace(r) { // one at most: see closeGap on time
		word = word[:len(word)-size]
	}
	n := introducer(word)
	if n == 0 {
		return 0
	}
	return n + len(out) - len(word)
}

// introducer returns the length of the introducing word that text ends in; zero: none.
func introducer[T string | []byte](text T) int {
	for _, word := range introducers {
		start := len(text) - len(word)
		if start < 0 || !strings.EqualFold(string(text[start:]), word) {
			continue
		}
		before, _ := utf8.DecodeLastRuneInString(string(text[max(0, start-utf8.UTFMax):start]))
		if !spells(before, word[0]) {
			return len(word)
		}
	}
	return 0
}

// spells reports whether the rune before an introducing word makes it the end of a longer one ("duration"). Scripts
// from U+2E80 on write no spaces between words. A flag may touch the digit of a ratio that is cut, so no digit counts.
func spells(before rune, first byte) bool {
	switch {
	case first == '-':
		return before == '-'
	case first >= utf8.RuneSelf:
		return false
	}
	return before == '-' || before == '_' || before < 0x2E80 && (unicode.IsLetter(before) || unicode.IsDigit(before))
}

// enclosed returns the length of the bracket that out ends with if text begins with its other half; zero: none.
func enclosed(out []byte, text string) int {
	for _, pair := range brackets {
		n := len(pair) / 2
		if strings.HasPrefix(text, pair[n:]) && bytes.HasSuffix(out, []byte(pair[:n])) {
			return n
		}
	}
	return 0
}

// opens reports whether out ends with an opening bracket.
func opens(out []byte) bool {
	for _, pair := range brackets {
		if bytes.HasSuffix(out, []byte(pair[:len(pair)/2])) {
			return true
		}
	}
	return false
}

// endsIn reports whether out ends with a rune of the set.
func endsIn(out []byte, set string) bool {
	r, size := utf8.DecodeLastRune(out)
	return size > 0 && strings.ContainsRune(set, r)
}

// cutSeparators cuts the separators at out's end with the white space among them; left is the white space after.
func cutSeparators(out []byte, left string) (kept []byte, found bool) {
	for {
		_, size := utf8.DecodeLastRune(out)
		dash := endsIn(out, dashes) && left != ""
		if dash {
			before, _ := utf8.DecodeLastRune(out[:len(out)-size])
			dash = len(out) == size || unicode.IsSpace(before)
		}
		if !dash && !endsIn(out, separators) {
			return out, found
		}
		found = true
		out, left = cutSpace(out[:len(out)-size])
	}
}

// cutStop cuts the full stop that text begins with: of a ratio that was a sentence of its own, it would be left alone.
func cutStop(text string) string {
	rest, ok := strings.CutPrefix(text, ".")
	if r, size := utf8.DecodeRuneInString(rest); !ok || size > 0 && !unicode.IsSpace(r) {
		return text
	}
	return rest
}

// leans reports whether text begins with punctuation that takes no white space before it.
func leans(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.In(r, unicode.Po, unicode.Pe, unicode.Pf)
}

// joins reports whether out and text would form a ratio, or the word before one, if they stood side by side ("1:" and "1").
func joins(out []byte, text string, ratios map[string]Size) bool {
	// More than the longest introducing word, colon and ratio.
	const window = 64
	seam := string(out[max(0, len(out)-window):]) + text[:min(len(text), window)]
	_, found := nextRatio(seam, 0, ratios)
	return found
}
