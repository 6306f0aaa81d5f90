package e2e_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// order returns what the upstream was sent last, whole.
func (g *gateway) order() map[string]any {
	g.t.Helper()
	all := g.upstream.Requests()
	if len(all) == 0 {
		g.t.Fatal("the upstream was not called")
	}
	var order map[string]any
	if err := json.Unmarshal(all[len(all)-1].Raw, &order); err != nil {
		g.t.Fatal(err)
	}
	return order
}

// TestOrders compares what a client asks with what the upstream is sent, to the letter.
func TestOrders(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	with := func(prompt string, fields map[string]any) map[string]any {
		body := chat(prompt)
		maps.Copy(body, fields)
		return body
	}
	want := func(prompt string, width, height int, fields map[string]any) map[string]any {
		order := map[string]any{
			"prompt": prompt, "width": float64(width), "height": float64(height),
			"steps": 8.0, "cfg": 7.0, "model_index": 5.0,
		}
		maps.Copy(order, fields)
		return order
	}
	cases := map[string]struct {
		ask, want map[string]any
	}{
		"square by default":          {chat("一只可爱的小狗"), want("一只可爱的小狗", 2048, 2048, nil)},
		"1:2, full-width comma":      {chat("一只可爱的小狗，1:2"), want("一只可爱的小狗", 1024, 2048, nil)},
		"1:1":                        {chat("a cat 1:1"), want("a cat", 2048, 2048, nil)},
		"3:2, full-width colon":      {chat("一只猫，3：2"), want("一只猫", 1920, 1280, nil)},
		"3:4":                        {chat("a cat, 3:4"), want("a cat", 1536, 2048, nil)},
		"16:9":                       {chat("小狗16:9"), want("小狗", 2048, 1152, nil)},
		"9:16":                       {chat("a cat --ar 9:16"), want("a cat", 1152, 2048, nil)},
		"no ratio":                   {chat("at 11:12 in version 1:1.5"), want("at 11:12 in version 1:1.5", 2048, 2048, nil)},
		"width and height win":       {with("a cat, 16:9", map[string]any{"width": 640, "height": 480}), want("a cat", 640, 480, nil)},
		"cfg, seed, negative prompt": {with("a cat", map[string]any{"cfg": 3.5, "seed": 42, "negative_prompt": "dogs"}), want("a cat", 2048, 2048, map[string]any{"cfg": 3.5, "seed": 42.0, "negative_prompt": "dogs"})},
		"the last user's message": {map[string]any{"messages": []any{
			map[string]any{"role": "user", "content": "a dog"},
			map[string]any{"role": "assistant", "content": "![a dog](http://x/y.png)"},
			map[string]any{"role": "user", "content": []any{map[string]any{"type": "text", "text": "a"}, map[string]any{"type": "text", "text": "cat"}}},
		}}, want("a cat", 2048, 2048, nil)},
	}
	for ratio, size := range map[string][2]int{
		"1:1": {2048, 2048}, "1:2": {1024, 2048}, "3:2": {1920, 1280}, "3:4": {1536, 2048}, "16:9": {2048, 1152}, "9:16": {1152, 2048},
	} {
		for _, written := range []string{ratio, strings.Replace(ratio, ":", "：", 1)} {
			cases["ratio "+written] = struct{ ask, want map[string]any }{chat("一只可爱的小狗，" + written), want("一只可爱的小狗", size[0], size[1], nil)}
		}
	}
	for name, c := range cases {
		if r := g.do(http.MethodPost, "/v1/chat/completions", c.ask); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, r.status, r.body)
			continue
		}
		got := g.order()
		seed, ok := got["seed"].(float64)
		if !ok || seed < 0 || seed != float64(int64(seed)) {
			t.Errorf("%s: seed %v is no whole number", name, got["seed"])
		}
		if _, fixed := c.want["seed"]; !fixed {
			if seed > 2147483646 {
				t.Errorf("%s: a random seed of %v is out of range", name, got["seed"])
			}
			delete(got, "seed")
		}
		if diff := cmp.Diff(got, c.want); diff != "" {
			t.Errorf("%s: order (-got +want):\n%s", name, diff)
		}
	}
	seeds := map[int64]bool{}
	for _, r := range g.upstream.Requests() {
		var body struct {
			Seed int64 `json:"seed"`
		}
		if err := json.Unmarshal(r.Raw, &body); err != nil {
			t.Fatal(err)
		}
		seeds[body.Seed] = true
	}
	if len(seeds) != len(cases) {
		t.Errorf("%d different seeds in %d calls", len(seeds), len(cases))
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{noWorker: true})
	const model = `{"id":"Z-Image","object":"model","created":1730800000,"owned_by":"sd-exacg-gateway"}`
	for path, want := range map[string]string{"/v1/models": `{"object":"list","data":[` + model + `]}`, "/v1/models/z-image": model} {
		r := g.do(http.MethodGet, path, nil)
		if got := strings.TrimSpace(string(r.body)); r.status != http.StatusOK || got != want {
			t.Errorf("%s: %d %s, want %s", path, r.status, got, want)
		}
	}
}

// TestChatReply has the reply's every field, as released clients know it.
func TestChatReply(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	r := g.do(http.MethodPost, "/v1/chat/completions", chat("一只可爱的小狗，1:2"))
	var got map[string]any
	r.into(t, &got)
	if id, _ := got["id"].(string); r.status != http.StatusOK || !strings.HasPrefix(id, "chatcmpl-") || len(id) < 20 {
		t.Errorf("%d, id %q", r.status, id)
	}
	if created, _ := got["created"].(float64); time.Since(time.Unix(int64(created), 0)).Abs() > time.Minute {
		t.Errorf("created %v is not now", got["created"])
	}
	var reply struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
	}
	r.into(t, &reply)
	if len(reply.Choices) != 1 {
		t.Fatalf("reply = %s", r.body)
	}
	content := reply.Choices[0].Message.Content
	if !strings.HasPrefix(content, "![一只可爱的小狗]("+g.upURL+"/") || !onePicture.MatchString(content) {
		t.Errorf("content %q is not the picture in Markdown", content)
	}
	want := map[string]any{
		"id": got["id"], "object": "chat.completion", "created": got["created"], "model": "Z-Image",
		"choices": []any{map[string]any{
			"index": 0.0, "finish_reason": "stop", "logprobs": nil,
			"message": map[string]any{"role": "assistant", "content": content, "refusal": nil},
		}},
		"usage": map[string]any{"prompt_tokens": 0.0, "completion_tokens": 0.0, "total_tokens": 0.0},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("reply (-got +want):\n%s", diff)
	}
}
