package imagegen_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

type parsed struct {
	Clean, Ratio string
	Found        bool
}

func parse(prompt string) parsed {
	clean, ratio, found := imagegen.ParsePrompt(prompt, imagegen.DefaultModel().Ratios)
	return parsed{Clean: clean, Ratio: ratio, Found: found}
}

func TestParsePromptCutsEveryRatioThatStandsAlone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ prompt, clean, ratio string }{
		"full-width comma":                          {"一只可爱的小狗，1:2", "一只可爱的小狗", "1:2"},
		"full-width colon":                          {"一只可爱的小狗，1：2", "一只可爱的小狗", "1:2"},
		"comma and space":                           {"a cat, 16:9", "a cat", "16:9"},
		"between commas":                            {"a cat, 16:9, on a roof", "a cat, on a roof", "16:9"},
		"touching Chinese before":                   {"小狗16:9", "小狗", "16:9"},
		"touching Chinese after":                    {"16:9小狗", "小狗", "16:9"},
		"touching Chinese on both sides":            {"小狗16:9在屋顶", "小狗在屋顶", "16:9"},
		"between words":                             {"a cat 16:9 on a roof", "a cat on a roof", "16:9"},
		"comma before, word after":                  {"a cat, 16:9 on a roof", "a cat on a roof", "16:9"},
		"comma after only":                          {"a cat 16:9, on a roof", "a cat, on a roof", "16:9"},
		"at the start with a comma":                 {"16:9, a cat", "a cat", "16:9"},
		"at the start with a space":                 {"16:9 a cat", "a cat", "16:9"},
		"at the start with a full-width comma":      {"16：9，一只猫", "一只猫", "16:9"},
		"at the start as a sentence":                {"Ratio 16:9. A cat.", "A cat.", "16:9"},
		"introduced in Chinese":                     {"小狗 比例 3:4", "小狗", "3:4"},
		"introduced in Chinese with a colon":        {"小狗，比例：3:4", "小狗", "3:4"},
		"introduced in Chinese, colons full-width":  {"小狗，比例：3：4", "小狗", "3:4"},
		"introduced in Chinese with a verb":         {"小狗，画面比例为16:9，油画", "小狗，油画", "16:9"},
		"introduced in Chinese by a longer word":    {"小狗，宽高比 16:9", "小狗", "16:9"},
		"introduced in English":                     {"a cat, ratio: 16:9", "a cat", "16:9"},
		"introduced in English without a space":     {"a cat, ratio:16:9", "a cat", "16:9"},
		"introduced in English, capitals":           {"a cat, Aspect Ratio: 16:9", "a cat", "16:9"},
		"introduced in two words":                   {"a cat aspect ratio 3:2 at night", "a cat at night", "3:2"},
		"introduced with of":                        {"a cat, aspect ratio of 3:2, at night", "a cat, at night", "3:2"},
		"introduced by a flag":                      {"a cat --ar 16:9", "a cat", "16:9"},
		"introduced by a flag before another":       {"a cat --ar 16:9 --v 6", "a cat --v 6", "16:9"},
		"introduced by a flag with an equals sign":  {"a cat --ar=16:9", "a cat", "16:9"},
		"introduced by a flag a phone has joined":   {"a cat —ar 16:9", "a cat", "16:9"},
		"an introducing word inside another word":   {"duration 16:9", "duration", "16:9"},
		"an introducing word after an accent":       {"ératio 16:9", "ératio", "16:9"},
		"an introducing word after a hyphen":        {"contrast-ratio 1:1", "contrast-ratio", "1:1"},
		"an introducing word after Chinese":         {"小狗ratio 16:9", "小狗", "16:9"},
		"an introducing word and a colon elsewhere": {"ratio: a cat 16:9", "ratio: a cat", "16:9"},
		"in parentheses":                            {"a cat (16:9)", "a cat", "16:9"},
		"in parentheses between words":              {"a cat (16:9) on a roof", "a cat on a roof", "16:9"},
		"in parentheses with its word":              {"a cat (aspect ratio: 16:9), on a roof", "a cat, on a roof", "16:9"},
		"in parentheses after its word":             {"a cat, ratio (16:9), on a roof", "a cat, on a roof", "16:9"},
		"in full-width parentheses":                 {"小狗（16:9）", "小狗", "16:9"},
		"in nested brackets":                        {"a cat [ ( 16:9 ) ]", "a cat", "16:9"},
		"first in parentheses":                      {"a cat (16:9, oil)", "a cat (oil)", "16:9"},
		"last in parentheses":                       {"a cat (oil, 16:9)", "a cat (oil)", "16:9"},
		"last word in parentheses":                  {"(a cat 16:9)", "(a cat)", "16:9"},
		"before parentheses":                        {"a cat 16:9 (oil)", "a cat (oil)", "16:9"},
		"before parentheses without a space":        {"a cat 16:9(oil)", "a cat (oil)", "16:9"},
		"two in parentheses":                        {"a cat (1:1, 16:9)", "a cat", "16:9"},
		"enumeration comma":                         {"小狗、16:9、屋顶", "小狗、屋顶", "16:9"},
		"semicolon":                                 {"小狗；16:9；屋顶", "小狗；屋顶", "16:9"},
		"Chinese full stop":                         {"小狗。16:9", "小狗", "16:9"},
		"Chinese full stops":                        {"小狗。比例16:9。屋顶。", "小狗。屋顶。", "16:9"},
		"bar":                                       {"a cat | 16:9", "a cat", "16:9"},
		"dash":                                      {"a cat - 16:9 - oil", "a cat - oil", "16:9"},
		"hyphen that is no dash":                    {"a cat- 16:9", "a cat-", "16:9"},
		"several separators":                        {"a cat,, 16:9", "a cat", "16:9"},
		"a full stop ends the sentence before":      {"A cat. 16:9", "A cat.", "16:9"},
		"a sentence of its own":                     {"A cat! Aspect ratio 16:9. On a roof.", "A cat! On a roof.", "16:9"},
		"last word of a sentence":                   {"A cat 16:9. On a roof.", "A cat. On a roof.", "16:9"},
		"no space after but text":                   {"café, 16:9été", "café été", "16:9"},
		"on its own line at the end":                {"a cat\n16:9", "a cat", "16:9"},
		"on its own line":                           {"a cat\n16:9\non a roof", "a cat\non a roof", "16:9"},
		"a paragraph of its own":                    {"a cat\n\n16:9\n\non a roof", "a cat\n\non a roof", "16:9"},
		"Windows lines":                             {"a cat\r\n16:9\r\non a roof", "a cat\r\non a roof", "16:9"},
		"first on a line":                           {"a cat\n16:9, on a roof", "a cat\non a roof", "16:9"},
		"last on a line":                            {"a cat, 16:9\non a roof", "a cat\non a roof", "16:9"},
		"ideographic space":                         {"小狗　16:9　屋顶", "小狗　屋顶", "16:9"},
		"two, the last wins":                        {"1:1 a cat 16:9", "a cat", "16:9"},
		"two adjoining":                             {"a cat 1:1 16:9", "a cat", "16:9"},
		"two adjoining between words":               {"a cat 1:1 16:9 on a roof", "a cat on a roof", "16:9"},
		"two joined by a comma":                     {"16:9,4:3", "", "4:3"},
		"many":                                      {"1:1, a cat, 1:2, 2:1；on a roof 3:2", "a cat；on a roof", "3:2"},
		"one that counts and one that does not":     {"5:4 a cat 16:9", "5:4 a cat", "16:9"},
		"nothing else":                              {"16:9", "", "16:9"},
		"nothing but its word":                      {" 比例：16:9。", "", "16:9"},
		"white space elsewhere":                     {"  a  cat  16:9", "  a  cat", "16:9"},
		"white space after it":                      {"a cat 16:9  ", "a cat", "16:9"},
		"before a point":                            {"a cat 16:9.", "a cat.", "16:9"},
		"before three points":                       {"a cat 16:9...", "a cat...", "16:9"},
		"the sides join":                            {"1:(16:9)1", "1: 1", "16:9"},
		"the sides join over two":                   {"1(16:9):(16:9)1", "1: 1", "16:9"},
		"the sides join to an introducing word":     {"rat(16:9)io:3:4", "rat io:3:4", "16:9"},
		"the sides join to a Chinese word":          {"比16:9例：3:4", "比 例：3:4", "16:9"},
		"a flag touches the ratio before":           {"a cat 1:1--ar:16:9", "a cat", "16:9"},
		"the sides join to a flag":                  {"-16:9-ar:3:4", "- -ar:3:4", "16:9"},
		"bytes that are no UTF-8":                   {"\xff16:9\xfe", "\xff\xfe", "16:9"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := parsed{Clean: tt.clean, Ratio: tt.ratio, Found: true}
			if diff := cmp.Diff(want, parse(tt.prompt)); diff != "" {
				t.Errorf("ParsePrompt(%q) (-want +got):\n%s", tt.prompt, diff)
			}
		})
	}
}

func TestParsePromptLeavesOtherPromptsAlone(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"empty":                                "",
		"only spaces":                          "  \n",
		"no colon":                             " a cat, on a roof ",
		"digits before":                        "11:12",
		"digit before":                         "21:1",
		"digit after":                          "9:160",
		"point and digit after":                "1:1.5",
		"point before":                         "0.16:9",
		"colon before":                         "10:16:9",
		"colon after":                          "16:9:30",
		"full-width colon before":              "a：16:9",
		"full-width colon after":               "16:9：",
		"two colons after an introducing word": "ratio::16:9",
		"colon after a word like one":          "duration:16:9",
		"link and colon":                       "比例为：16:9",
		"slash before":                         "x/16:9",
		"slash after":                          "16:9/4:3",
		"letter before":                        "a16:9",
		"letter after":                         "16:9p",
		"Arabic digit before":                  "٣16:9",
		"full-width digit after":               "16:9９",
		"space in it":                          "16 : 9",
		"not in the table":                     "5:4",
		"leading zero":                         "01:1",
		"a time":                               "at 10:30",
		"weights":                              "(cat:1.2), [dog:0.5]",
		"bytes that are no UTF-8":              "\xff:\xef\xbc1",
	}
	for name, prompt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(parsed{Clean: prompt}, parse(prompt)); diff != "" {
				t.Errorf("ParsePrompt(%q) (-want +got):\n%s", prompt, diff)
			}
		})
	}
}

func TestParsePromptKnowsOnlyTheTableItIsGiven(t *testing.T) {
	t.Parallel()
	table := map[string]imagegen.Size{"5:4": {Width: 1280, Height: 1024}}
	clean, ratio, found := imagegen.ParsePrompt("a cat 16:9 5:4", table)
	if clean != "a cat 16:9" || ratio != "5:4" || !found {
		t.Errorf("got %q, %q, %v; want %q, %q, true", clean, ratio, found, "a cat 16:9", "5:4")
	}
	if clean, _, found := imagegen.ParsePrompt("a cat 16:9", nil); clean != "a cat 16:9" || found {
		t.Errorf("without a table: got %q, %v; want the prompt as it was", clean, found)
	}
}

// Quadratic work on any of these would take minutes; linear work takes milliseconds, and has far longer for a busy machine.
func TestParsePromptTakesLinearTime(t *testing.T) {
	t.Parallel()
	const size = 512 << 10
	tests := map[string]string{
		"ratios":                       strings.Repeat("16:9 ", size/5),
		"ratios in brackets":           strings.Repeat("(16:9)", size/6),
		"colons":                       strings.Repeat(":", size),
		"chained ratios":               strings.Repeat("1:", size/2),
		"digits, then a colon":         strings.Repeat("1", size) + ":1",
		"spaces, then ratios":          "x" + strings.Repeat(" ", size) + strings.Repeat("16:9,", size/5),
		"spaces, then bracketed ones":  "x" + strings.Repeat(" ", size) + strings.Repeat("(16:9)", size/6),
		"lines, then bracketed ones":   "x" + strings.Repeat("\n", size) + strings.Repeat("(16:9)", size/6),
		"words, a ratio, spaces":       strings.Repeat("ratio ", size/6) + "16:9" + strings.Repeat(" ", size),
		"a word, spaces, ratios":       "ratio" + strings.Repeat(" ", size) + strings.Repeat(": 16:9", size/6),
		"separators":                   strings.Repeat("，", size/3) + "16:9" + strings.Repeat("，", size/3),
		"nested brackets":              strings.Repeat("( ", size/2) + "16:9" + strings.Repeat(" )", size/2),
		"brackets that close too late": strings.Repeat("(", size/2) + "16:9" + strings.Repeat("(16:9)", size/6),
		"ratios joined by words":       strings.Repeat("rat(16:9)io:3:4", size/15),
	}
	for name, prompt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			clean := parse(prompt).Clean
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("%d bytes took %v", len(prompt), took)
			}
			if again := parse(clean); again.Found {
				t.Errorf("the clean prompt still holds %s", again.Ratio)
			}
		})
	}
}

// The rules once more, as patterns tried at every byte.
var (
	ratioAhead = regexp.MustCompile(`^([0-9]+)[:：]([0-9]+)(\.?$|\.[^\p{Nd}]|[^\p{Nd}A-Za-z/:：.])`)
	freeBehind = regexp.MustCompile(`(^|[^\p{Nd}A-Za-z/:：.]|` + wordBehind + `[:：])$`)
)

const wordBehind = `((^|[^\p{L}\p{Nd}_-]|[⺀-\x{10ffff}])(?i:aspect[ _-])?(?i:ratio)|—ar|` +
	`(^|[^-])(?i:--aspect([_-]ratio)?|--ratio|--ar)|` +
	`比例|比率|宽高比|长宽比|纵横比|寬高比|長寬比|縱橫比|画幅|尺寸)`

// recognisedRatio returns the last ratio that stands alone in the prompt, or an empty string.
func recognisedRatio(prompt string, ratios map[string]imagegen.Size) (last string) {
	for i := range len(prompt) {
		// With no more than the rules can see, or a long prompt takes the fuzzer minutes.
		ahead := ratioAhead.FindStringSubmatch(prompt[i:min(len(prompt), i+24)])
		if ahead == nil || !freeBehind.MatchString(prompt[max(0, i-40):i]) {
			continue
		}
		if _, ok := ratios[ahead[1]+":"+ahead[2]]; ok {
			last = ahead[1] + ":" + ahead[2]
		}
	}
	return last
}

func FuzzParsePrompt(f *testing.F) {
	for _, seed := range []string{
		"", "a cat", "一只可爱的小狗，1:2", "a cat, 16:9, on a roof", "比例：3:4", "--ar 16:9", "aspect ratio of 3:2.", "duration 16:9",
		"11:12 1:1.5 10:16:9 9:160 小狗16:9", "(16:9) [1:1] （ 4:3 ）", "1:(16:9)1", "rat(16:9)io:3:4", "1(16:9):(16:9)1", "-16:9-ar:3:4",
		"16:9\n1:1\r\n21：9", "\xff16:9\xef\xbc", "ratio (16:9).5:1", "a - 16:9 — 1:1。2:1", "ratio=1:1:1 ratio:1:1", "比(1:1)例：9:16",
		"aspect(16:9) ratio:2:1", "9:16ratio: 1:1", "x(16:9)ratio:3:4", "A cat! 16:9. B", "1:1--ar:1:1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, prompt string) { checkParsed(t, prompt) })
}

// Prompts made of the pieces the rules are about, which a fuzzer seldom puts together.
func TestParsePromptOfAnyPieces(t *testing.T) {
	t.Parallel()
	pieces := rapid.SampledFrom([]string{
		"1:1", "16:9", "3：4", "1", "16", "9", ":", "：", ".", "/", ",", "，", "。", "|", "—", "-", "--", " ", "\n", "\u3000", "(", ")", "（", "）", "[", "]",
		"a", "é", "猫", "rat", "io", "ratio", "ratio:", "aspect ", "aspect", "--ar", "-ar", "ar", "比", "例", "比例", "比例：", "为", "=", " of", "\xff", "\xef\xbc",
	})
	rapid.Check(t, func(t *rapid.T) {
		checkParsed(t, strings.Join(rapid.SliceOfN(pieces, 0, 24).Draw(t, "pieces"), ""))
	})
}

// checkParsed compares ParsePrompt with the rules.
func checkParsed(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, prompt string,
) {
	t.Helper()
	ratios := imagegen.DefaultModel().Ratios
	clean, ratio, found := imagegen.ParsePrompt(prompt, ratios)
	if held := recognisedRatio(prompt, ratios); held != ratio || found != (held != "") {
		t.Fatalf("ParsePrompt(%q) = ratio %q, %v, though the rules find %q", prompt, ratio, found, held)
	}
	if !found && clean != prompt {
		t.Fatalf("ParsePrompt(%q) = %q though it found nothing", prompt, clean)
	}
	if held := recognisedRatio(clean, ratios); held != "" {
		t.Fatalf("ParsePrompt(%q) = %q, which holds %s", prompt, clean, held)
	}
	if again, _, _ := imagegen.ParsePrompt(clean, ratios); again != clean {
		t.Fatalf("ParsePrompt(%q) = %q, cleaned again %q", prompt, clean, again)
	}
}

func BenchmarkParsePrompt(b *testing.B) {
	ratios := imagegen.DefaultModel().Ratios
	for name, prompt := range map[string]string{
		"ratio":    "一只可爱的小狗，1:2",
		"no ratio": "a cat on a roof at 10:30, oil on canvas, soft light",
		"long":     strings.Repeat("a cat on a roof at 10:30, 16:9, ", 3200),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(prompt)))
			for b.Loop() {
				imagegen.ParsePrompt(prompt, ratios)
			}
		})
	}
}
