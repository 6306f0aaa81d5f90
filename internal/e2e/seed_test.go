package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
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

func TestBrowsersMayCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{noWorker: true})
	ask := func(method, key string) reply {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, g.url+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "https://app.example")
		if method == http.MethodOptions {
			req.Header.Set("Access-Control-Request-Method", http.MethodPost)
			req.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-stainless-os")
		} else {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return reply{status: resp.StatusCode, header: resp.Header}
	}
	preflight := ask(http.MethodOptions, "")
	if preflight.status != http.StatusNoContent || !strings.EqualFold(preflight.header.Get("Access-Control-Allow-Headers"), "authorization,content-type,x-stainless-os") {
		t.Errorf("preflight: %d %v", preflight.status, preflight.header)
	}
	for key, status := range map[string]int{clientKey: http.StatusOK, "wrong": http.StatusUnauthorized} {
		if r := ask(http.MethodGet, key); r.status != status || r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("X-Request-Id") == "" {
			t.Errorf("with key %q: %d %v", key, r.status, r.header)
		}
	}
}

// TestSecretsStayWhereTheyBelong has an upstream that repeats our key back, and looks everywhere for it.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	const prompt = "a very private wish"
	g := newGateway(t, setup{
		workerEnv: []string{"RETRY_BASE_DELAY=1ms", "MAX_ATTEMPTS=2", "LOG_LEVEL=debug"}, apiEnv: []string{"LOG_LEVEL=debug"},
		upstream: simupstream.Config{Behave: func(r simupstream.Request) simupstream.Behaviour {
			switch r.Call {
			case 1:
				return simupstream.Decline(http.StatusBadRequest, "bad request, headers were "+r.Header.Get("Authorization"))
			case 2, 3:
				return simupstream.Behaviour{Status: http.StatusInternalServerError, Body: r.Header.Get("Authorization")}
			}
			return simupstream.Behaviour{}
		}},
	})
	var replies bytes.Buffer
	for range 3 {
		r := g.do(http.MethodPost, "/v1/chat/completions", chat(prompt))
		replies.Write(r.body)
		_, _ = fmt.Fprintln(&replies, r.header)
		job := g.do(http.MethodGet, "/v1/jobs/"+r.header.Get("X-Job-Id"), nil)
		replies.Write(job.body)
	}
	resp, err := http.Get(g.admin + "/metrics") //nolint:noctx // a scrape
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if _, err := io.Copy(&replies, resp.Body); err != nil {
		t.Fatal(err)
	}
	places := map[string]string{
		"replies and metrics": replies.String(), "redis": g.everythingInRedis(),
		"the api's output": g.api.output(), "the worker's output": g.worker.output(),
	}
	for where, text := range places {
		if text == "" {
			t.Errorf("nothing to look at in %s", where)
		}
		for _, secret := range []string{upstreamKey, clientKey} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in %s", secret, where)
			}
		}
		if strings.HasSuffix(where, "output") && strings.Contains(text, prompt) {
			t.Errorf("the prompt is in %s", where)
		}
	}
}

// everythingInRedis returns all keys and values of the gateway's database.
func (g *gateway) everythingInRedis() string {
	g.t.Helper()
	ctx, client := g.t.Context(), g.redis()
	var all strings.Builder
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, key := range keys {
		var value any
		switch kind := client.Type(ctx, key).Val(); kind {
		case "hash":
			value = client.HGetAll(ctx, key).Val()
		case "list":
			value = client.LRange(ctx, key, 0, -1).Val()
		case "zset":
			value = client.ZRange(ctx, key, 0, -1).Val()
		case "set":
			value = client.SMembers(ctx, key).Val()
		case "string":
			value = client.Get(ctx, key).Val()
		case "none": // expired meanwhile
		default:
			g.t.Fatalf("key %s is a %s, which this test cannot read", key, kind)
		}
		_, _ = fmt.Fprintln(&all, key, value)
	}
	return all.String()
}
