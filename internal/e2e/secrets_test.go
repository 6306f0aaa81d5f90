package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// TestSecretsStayWhereTheyBelong has an upstream that repeats our key back, and looks everywhere for it.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	const prompt = "a very private wish"
	const slow = 4 // the call that takes long enough to look at its task
	g := newGateway(t, setup{
		workerEnv: []string{"RETRY_BASE_DELAY=1ms", "MAX_ATTEMPTS=2", "LOG_LEVEL=debug"}, apiEnv: []string{"LOG_LEVEL=debug"},
		upstream: simupstream.Config{Behave: func(r simupstream.Request) simupstream.Behaviour {
			switch r.Call {
			case 1:
				return simupstream.Decline(http.StatusBadRequest, "bad request, headers were "+r.Header.Get("Authorization"))
			case 2, 3:
				return simupstream.Behaviour{Status: http.StatusInternalServerError, Body: r.Header.Get("Authorization")}
			}
			return simupstream.Behaviour{Latency: time.Second}
		}},
	})
	var replies bytes.Buffer
	keep := func(r reply) {
		replies.Write(r.body)
		_, _ = fmt.Fprintln(&replies, r.header)
		replies.Write(g.do(http.MethodGet, "/v1/jobs/"+r.header.Get("X-Job-Id"), nil).body)
	}
	for range 2 {
		keep(g.do(http.MethodPost, "/v1/chat/completions", chat(prompt)))
	}
	last := g.goChat(prompt)
	waitUntil(t, "the slow call is made", patience, func() bool { return g.upstream.Calls() == slow })
	during := g.everythingInRedis()
	if !strings.Contains(during, prompt) {
		t.Errorf("this test does not see the job under way in Redis, which holds\n%s", during)
	}
	l := <-last
	if l.err != nil {
		t.Fatal(l.err)
	}
	keep(l.reply)
	places := map[string]string{
		"replies": replies.String(), "redis during a call": during, "redis": g.everythingInRedis(),
		"the api's metrics": metrics(t, g.api), "the worker's metrics": metrics(t, g.worker),
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
		if (strings.HasSuffix(where, "output") || strings.HasSuffix(where, "metrics")) && strings.Contains(text, prompt) {
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
