package openai_test

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
	"pgregory.net/rapid"

	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func TestMarkdown(t *testing.T) {
	t.Parallel()
	const page = "https://img.example/a.png"
	cases := map[string]struct{ prompt, url, want string }{
		"plain text stays":                   {"a cat, on a roof!", page, "![a cat, on a roof!](" + page + ")"},
		"chinese stays":                      {"一只可爱的小狗", page, "![一只可爱的小狗](" + page + ")"},
		"brackets and backslashes":           {`a [b](c) \d`, page, `![a \[b\](c) \\d](` + page + ")"},
		"what binds closer than brackets":    {"`a` <b> $c$ &amp; *d* _e_ ~f~", page, "![\\`a\\` \\<b> \\$c\\$ \\&amp; \\*d\\* \\_e\\_ \\~f\\~](" + page + ")"},
		"lines become one":                   {"\n a\r\n\r\nb\tc\x00\u2028d ", page, "![a b c d](" + page + ")"},
		"80 characters, not bytes":           {strings.Repeat("狗", 90), page, "![" + strings.Repeat("狗", 80) + "](" + page + ")"},
		"no space is left at the cut":        {strings.Repeat("x", 79) + " y", page, "![" + strings.Repeat("x", 79) + "](" + page + ")"},
		"parentheses in a url":               {"a", "https://x/a_(1).png", "![a](https://x/a_%281%29.png)"},
		"spaces and friends in a url":        {"a", "https://x/a b<c>\\\"`\n", "![a](https://x/a%20b%3Cc%3E%5C%22%60%0A)"},
		"what is encoded stays so":           {"a", "https://x/a%20b", "![a](https://x/a%20b)"},
		"a query stays":                      {"a", "https://x/?a=1&b=2;c", "![a](https://x/?a=1&b=2;c)"},
		"what looks like an entity":          {"a", "https://x/?a=1&copy;=2&#41;", "![a](https://x/?a=1&copy%3B=2&#41%3B)"},
		"letters of the world stay":          {"a", "https://例え.jp/狗.png", "![a](https://例え.jp/狗.png)"},
		"invisible letters are encoded":      {"a", "https://x/\u200b\u3000\u2028", "![a](https://x/%E2%80%8B%E3%80%80%E2%80%A8)"},
		"bytes that are no text are encoded": {"a\xff", "https://x/\xff", "![a\uFFFD](https://x/%FF)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := openai.Markdown(c.prompt, c.url); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// FuzzMarkdown looks for a prompt or a URL that renders as anything but one picture of that URL.
func FuzzMarkdown(f *testing.F) {
	for _, prompt := range []string{
		"一只可爱的小狗", "![x](https://evil.example)", "](https://evil.example) ![", "a `b", "<https://evil.example>", "<b>\n\n# x",
		"[a]: https://evil.example", "\\", "\\\\]", "&#93;(x)", "&lsqb;", "*a* _b_ ~~c~~ | d | $e$", "https://evil.example/]( www.evil.example",
		"- [x] a", "[^1]", "\x00\xff", "", " ", "a\u00a0\u2028b", strings.Repeat("[", 100),
	} {
		f.Add(prompt, "https://img.example/a.png?x=1&y=2")
	}
	f.Add("a", "https://x/a_(1).png")
	f.Add("$ a", "https://x/?a=$b&copy;&#41;")
	f.Add("a `", "https://[::1]/`a b<c>\\\n\xff\t*_[]")
	plain := goldmark.New()
	rich := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote, extension.DefinitionList, extension.Typographer))
	f.Fuzz(func(t *testing.T, prompt, address string) {
		markdown := openai.Markdown(prompt, address)
		for _, parser := range []goldmark.Markdown{plain, rich} {
			picture := onlyPicture(t, parser, markdown)
			if got := string(picture.Destination); !samePlace(got, address) || !utf8.ValidString(got) {
				t.Errorf("%q: got destination %q, want %q", markdown, got, address)
			}
			if len(picture.Title) > 0 {
				t.Errorf("%q: got title %q", markdown, picture.Title)
			}
		}
		if strings.ContainsAny(markdown, "\r\n") {
			t.Errorf("%q has lines", markdown)
		}
	})
}

// samePlace reports whether got is the address, its bytes percent-encoded or not.
func samePlace(got, address string) bool { return decoded(got) == decoded(address) }

// decoded undoes percent-encoding where there is some; a stray percent sign stays.
func decoded(s string) string {
	return encoded.ReplaceAllStringFunc(s, func(e string) string {
		b, err := hex.DecodeString(e[1:])
		if err != nil {
			return e
		}
		return string(b)
	})
}

var encoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// onlyPicture parses Markdown that holds one picture and nothing else.
func onlyPicture(t *testing.T, parser goldmark.Markdown, markdown string) *ast.Image {
	t.Helper()
	doc := parser.Parser().Parse(text.NewReader([]byte(markdown)))
	paragraph := doc.FirstChild()
	if paragraph == nil || paragraph.NextSibling() != nil || paragraph.Kind() != ast.KindParagraph || paragraph.ChildCount() != 1 {
		t.Fatalf("%q is not one paragraph with one child", markdown)
	}
	picture, ok := paragraph.FirstChild().(*ast.Image)
	if !ok {
		t.Fatalf("%q is not a picture", markdown)
	}
	return picture
}

// Whatever a prompt holds, the reply is one picture with exactly our URL, for every reader of Markdown.
func TestAnyPromptMakesOnePicture(t *testing.T) {
	t.Parallel()
	const page = "https://img.example/generated/a-b_c.png?x=1&y=2"
	pieces := rapid.OneOf(
		rapid.String(),
		rapid.StringOfN(rapid.RuneFrom([]rune("[]()!\\`<>&*_~$#|^\"'\n\r\t :/-")), 0, 200, -1),
		rapid.StringOfN(rapid.RuneFrom([]rune("שלום مرحبا \u202e\u200f\u2066🦊👩‍👩‍👧🏳️‍🌈狗\u0301\u2028\x00\ufeff")), 0, 200, -1),
		rapid.SampledFrom([]string{"](", "![a](https://evil.example/x.png)", "<img src=x>", "\n\n# ", "&#93;", "`a", "[a]: https://evil.example\n", "\xff\xfe"}),
	)
	parsers := []goldmark.Markdown{goldmark.New(), goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote, extension.Typographer))}
	rapid.Check(t, func(rt *rapid.T) {
		prompt := strings.Join(rapid.SliceOfN(pieces, 1, 20).Draw(rt, "pieces"), "")
		if rapid.Bool().Draw(rt, "long") && prompt != "" {
			prompt = strings.Repeat(prompt, 1+100_000/len(prompt))
		}
		j := drawn(queued(1), 0)
		j.Spec.Prompt, j.Pictures[0].Image.URL = prompt, page
		markdown := openai.NewChatCompletion(j, false).Choices[0].Message.Content
		for _, parser := range parsers {
			if got := string(onlyPicture(t, parser, markdown).Destination); got != page {
				rt.Fatalf("%q leads to %q", markdown, got)
			}
		}
	})
}
