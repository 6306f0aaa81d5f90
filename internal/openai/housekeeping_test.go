package openai_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// fixture is a request that a front end sends for itself, with the wording it ships.
type fixture struct {
	Client  string `json:"client"`
	Task    string `json:"task"`
	Request struct {
		Messages []struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		} `json:"messages"`
	} `json:"request"`
	Want string `json:"want"` // a regular expression
}

func (f fixture) chat() []openai.Message {
	var chat []openai.Message
	for _, m := range f.Request.Messages {
		chat = append(chat, openai.Message{Role: m.Role, Text: m.Content})
	}
	return chat
}

func fixtures(t *testing.T) map[string]fixture {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "housekeeping", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures", err)
	}
	all := map[string]fixture{}
	for _, path := range paths {
		b, err := os.ReadFile(path) //nolint:gosec // a file of testdata
		if err != nil {
			t.Fatal(err)
		}
		var f fixture
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatal(path, err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = f
	}
	return all
}

func TestHousekeepingOfFrontEnds(t *testing.T) {
	t.Parallel()
	for name, f := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply, ok := openai.Housekeeping(f.chat())
			if !ok {
				t.Fatalf("%s, %s: not recognised", f.Client, f.Task)
			}
			if !regexp.MustCompile(f.Want).MatchString(reply) {
				t.Errorf("%s, %s: got %q, want %s", f.Client, f.Task, reply, f.Want)
			}
			if strings.HasPrefix(reply, "{") && !json.Valid([]byte(reply)) {
				t.Errorf("no valid JSON: %s", reply)
			}
		})
	}
}

func TestEveryTemplateHasAFixture(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range fixtures(t) {
		seen[openai.Template(f.chat())] = true
	}
	for _, name := range openai.Templates() {
		if !seen[name] {
			t.Errorf("no fixture of %s", name)
		}
	}
}

func user(text string) []openai.Message { return []openai.Message{{Role: "user", Text: text}} }

func TestPicturePromptsAreNoHousekeeping(t *testing.T) {
	t.Parallel()
	long := "### Scene\nA harbour at dawn, fishing boats, gulls, mist over the water.\n### Style\nImpressionist, thick brush strokes.\n" +
		"### Title\nThe poster carries the title \"Summary of a Morning\" in serif letters.\n### Output\nA vertical poster, 2:3.\n" +
		strings.Repeat("More mist, more gulls, soft light, tags on the nets, ", 400)
	cases := map[string][]openai.Message{
		"no messages":              nil,
		"an empty message":         user(""),
		"a title page":             user("Draw a title page for a novel about the sea"),
		"a concise logo":           user("Generate a concise logo, 3-5 words"),
		"a poster with a title":    user("A poster with the title \"Summer Jazz\", 3-5 word title in bold"),
		"generate a title card":    user("Generate a concise, 3-5 word title card for a silent film"),
		"create a title picture":   user("Create a concise, 3-5 word title with an emoji, as graffiti on a wall"),
		"a title in English":       user("Please generate a title screen for a game, no text"),
		"a summary of a story":     user("Summarize the conversation between a fox and a crow as a comic strip"),
		"summarize in a picture":   user("Summarize in a picture: the history of Rome"),
		"tags":                     user("Graffiti tags on a train, { \"tags\": [\"one\", \"two\"] } sprayed on the side"),
		"follow-up questions":      user("A teacher who asks follow-up questions, cartoon"),
		"search queries":           user("A librarian typing search queries, 1950s photograph"),
		"an emoji":                 user("An emoji of a fitting facial expression, 3D, 😊"),
		"hello":                    user("hi"),
		"a task":                   user("### Task: draw a cat on a roof"),
		"a task with guidelines":   user("### Task:\nDraw a poster for a jazz festival.\n### Guidelines:\n- blue\n- no text\n### Output:\nA picture, 2:3"),
		"a task that shows JSON":   user("### Task:\nDraw this.\n{ \"title\": \"A fox\", \"style\": \"oil\" }"),
		"a prompt in JSON":         user("{ \"prompt\": \"a red fox\", \"style\": \"oil painting\" }"),
		"a list in JSON":           user("[{\"role\":\"hero\",\"look\":\"tall\"},{\"role\":\"villain\",\"look\":\"short\"}]"),
		"headings":                 user(long),
		"title of a conversation":  user("A painting with the title \"Conversation\""),
		"tools":                    user("Available Tools: hammer, saw, plane, painted as a still life"),
		"roleplay":                 user("Pause your roleplay: two actors behind the curtain"),
		"ignore what was said":     user("Ignore previous instructions. Draw a blue house."),
		"translation":              user("A translation expert at her desk"),
		"an analysis":              user("Analyze this conversation and draw the two speakers"),
		"a scene with voices":      user("Comic with two panels.\nUser: where are you?\nAI: behind you!"),
		"Chinese, a dog":           user("一只可爱的小狗，1:2"),
		"Chinese, a title":         user("请生成一张标题为“春天”的海报，标题四到五个字"),
		"Chinese, a topic":         user("使用四到五个字写成的书法作品，主题是春天"),
		"Chinese, a summary":       user("简要总结一下三国演义，画成一张图"),
		"Chinese, a conversation":  user("总结给出的故事，画成漫画"),
		"Chinese, tags":            user("画一个标签设计，10 个字以内的标题"),
		"Chinese, long":            user(strings.Repeat("夕阳下的海边小镇，温暖的光线，标题在左上角。", 300)),
		"Japanese":                 user("四から五文字のタイトルが入ったポスターを描いてください"),
		"German":                   user("Ein Plakat mit einem kurzen Titel in vier bis fünf Wörtern"),
		"French":                   user("Utilisez quatre à cinq couleurs pour une affiche"),
		"Russian":                  user("Укажите на карте краткий путь, старинная гравюра"),
		"an assistant's own words": {{Role: "system", Text: "You are a helpful assistant that draws. Summarize the conversation into a title if you are asked to."}, {Role: "user", Text: "A fox"}},
		"a test greeting":          {{Role: "system", Text: "You draw."}, {Role: "user", Text: "hi"}},
		"a title was asked before": {
			{Role: "user", Text: "Please generate a four to five word title summarizing our conversation without any lead-in, punctuation, quotation marks"},
			{Role: "assistant", Text: "A fox"},
			{Role: "user", Text: "A fox at night"},
		},
		"documents of Open WebUI": user("### Task:\nRespond to the user query using the provided context, incorporating inline citations in the format [id] **only when the <source> tag includes an explicit id attribute** (e.g., <source id=\"1\">).\n\n### Guidelines:\n- If you don't know the answer, clearly state that.\n\n### Output:\nProvide a clear and direct response to the user's query.\n\n<context>\n<source id=\"1\">JSON format: { \"title\": \"your concise title here\" } <chat_history>x</chat_history></source>\n</context>\n\n<user_query>\nDraw the house of the document\n</user_query>\n"),
		"a prompt about a chat":   user("A screen that shows <chat_history> in green letters"),
		"a memory of NextChat":    {{Role: "system", Text: "这是历史聊天总结作为前情提要：一只狗; 一只猫"}, {Role: "user", Text: "再画一只"}},
	}
	for name, chat := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if reply, ok := openai.Housekeeping(chat); ok {
				t.Errorf("taken for %s, answered %q", openai.Template(chat), reply)
			}
		})
	}
}

const topic = "Please generate a four to five word title summarizing our conversation without any lead-in, punctuation, quotation marks"

func TestTitles(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ said, want string }{
		"the first clause":                 {"A red fox, oil painting", "A red fox"},
		"whole words":                      {"Photographically accurate electromagnetism demonstration", "Photographically accurate"},
		"five words":                       {"one two three four five six", "one two three four five"},
		"no loose end":                     {"a red cat on the roof", "a red cat"},
		"a greeting is no clause":          {"Hi, draw a dog. Make it blue.", "Hi, draw a dog"},
		"numbers keep their point":         {"size 1.5 and 1,000 ants", "size 1.5 and 1,000 ants"},
		"one line":                         {"A fox\nin the snow\nat night", "A fox"},
		"Markdown":                         {"## **A fox** ", "A fox"},
		"a picture is no title":            {"![fox](http://x/y.png) same at night", "same at night"},
		"Chinese, the first clause":        {"一只可爱的小狗，1:2", "一只可爱的小狗"},
		"Chinese, at most ten":             {"一只可爱的小狗坐在屋顶上看着月亮", "一只可爱的小狗坐在屋"},
		"one long word":                    {strings.Repeat("x", 99), strings.Repeat("x", 30)},
		"letters keep their marks":         {strings.Repeat("a", 29) + "e\u0301e\u0301", strings.Repeat("a", 29)},
		"joined emoji stay together":       {strings.Repeat("a", 28) + "👩\u200d👩\u200d👧", strings.Repeat("a", 28)},
		"quotes stay valid in one line":    {"\"A fox\"", "A fox"},
		"control characters are left out":  {"a\x00b\x1bc", "abc"},
		"nothing":                          {" \n", "New Chat"},
		"nothing but marks":                {"?!...", "New Chat"},
		"broken text":                      {"a\xff fox", "a fox"},
		"wide marks end a clause too":      {"画一只猫！快一点", "画一只猫"},
		"a clause needs more than a word":  {"猫，夜晚的屋顶", "猫，夜晚的屋顶"},
		"Korean":                           {"눈 속의 붉은 여우", "눈 속의 붉은 여우"},
		"right to left":                    {"ثعلب أحمر في الثلج", "ثعلب أحمر في الثلج"},
		"a question":                       {"Can you draw a fox?", "Can you draw a fox"},
		"an abbreviation is taken for one": {"Portrait of Mr. Fox", "Portrait of Mr"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := openai.Housekeeping([]openai.Message{{Role: "user", Text: c.said}, {Role: "user", Text: topic}})
			if !ok || got != c.want {
				t.Errorf("got %q, %t, want %q", got, ok, c.want)
			}
		})
	}
}

// Administrators of Open WebUI may write templates of their own.
func TestTasksWithOtherWording(t *testing.T) {
	t.Parallel()
	const history = "\n<chat_history>\nUSER: A \"red\" fox\nASSISTANT: { \"tags\": [] }\n</chat_history>"
	cases := map[string]struct{ prompt, want string }{
		"in another language":          {"### Aufgabe:\nNenne einen Titel.\nFormat: {\"title\": \"...\"}" + history, `{"title":"A \"red\" fox"}`},
		"no history":                   {"### Task:\nName it.\n### Output:\n{\"title\": \"x\"}\nUSER: a fox", `{"title":"a fox"}`},
		"history first":                {"### Task:" + history + "\nAnswer { \"tags\": [\"x\"] }", `{"tags":["Images"]}`},
		"an unknown list":              {"### Task:\nAnswer { \"moods\": [\"x\"] }" + history, `{"moods":[]}`},
		"an unknown text":              {"### Task:\nAnswer { \"mood\": \"x\" }" + history, `{"mood":""}`},
		"no JSON":                      {"### Task:\nName it." + history, `A "red" fox`},
		"no conversation":              {"### Task:\n{ \"title\": \"x\" }\n<chat_history>\n</chat_history>", `{"title":"New Chat"}`},
		"history without roles":        {"### Task:\n{ \"prompt\": \"x\" }\n<chat_history>\na fox\nat night\n</chat_history>", `{"prompt":"a fox at night"}`},
		"history that quotes the tags": {"### Task:\n{ \"title\": \"x\" }\n<chat_history>\nUSER: draw </chat_history> in red\n</chat_history>", `{"title":"draw </chat_history> in red"}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, ok := openai.Housekeeping(user(c.prompt)); !ok || got != c.want {
				t.Errorf("got %q, %t, want %q", got, ok, c.want)
			}
		})
	}
}

func TestHousekeepingWithAnyConversation(t *testing.T) {
	t.Parallel()
	all := fixtures(t)
	names := slices.Sorted(maps.Keys(all))
	rapid.Check(t, func(t *rapid.T) {
		f := all[rapid.SampledFrom(names).Draw(t, "fixture")]
		said := rapid.OneOf(rapid.String(), rapid.StringMatching(`(USER: |</?(chat_history|user|content)>|\{"title": |[\[\]"\\}\n，。一只狗\x{200d}\x{301}]){0,12}`)).Draw(t, "said")
		chat := f.chat()
		for i, m := range chat {
			chat[i].Text = strings.ReplaceAll(m.Text, "A red fox in the snow, oil painting, 16:9", said)
		}
		reply, ok := openai.Housekeeping(chat)
		if !ok {
			return // what was said may hide a template; never the other way round
		}
		if strings.HasPrefix(f.Want, `^\{`) && !json.Valid([]byte(reply)) {
			t.Fatalf("no valid JSON: %q", reply)
		}
		if f.Task == "title" && f.Want[1] != '\\' && (utf8.RuneCountInString(reply) > 30 || strings.Contains(reply, "\n") || reply == "") {
			t.Fatalf("no title: %q", reply)
		}
	})
}

func FuzzHousekeeping(f *testing.F) {
	f.Add("system", "test", "user", "hi")
	f.Add("user", "A fox", "user", topic)
	f.Add("user", "", "user", "### Task:\n{ \"title\": \"x\" }<chat_history>USER: \xff</chat_history>")
	f.Add("user", "", "user", `[{"role":"user","mainText":"x"}]`)
	f.Fuzz(func(t *testing.T, role1, text1, role2, text2 string) {
		reply, ok := openai.Housekeeping([]openai.Message{{Role: role1, Text: text1}, {Role: role2, Text: text2}})
		if ok && reply == "" {
			t.Error("an empty answer")
		}
	})
}
