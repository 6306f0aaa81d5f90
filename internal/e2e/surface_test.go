package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// What front ends ask the model of their own (titles, tags, follow-up questions, searches) draws nothing. The requests
// are those of package openai, with the templates that the front ends ship.
func TestHousekeepingDrawsNothing(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	paths, err := filepath.Glob(filepath.Join("..", "openai", "testdata", "housekeeping", "*.json"))
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d requests, %v", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path) //nolint:gosec // a file of testdata
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Request map[string]any `json:"request"`
		}
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		f.Request["model"] = "Z-Image"
		r := g.do(http.MethodPost, "/v1/chat/completions", f.Request)
		if r.status != http.StatusOK || r.header.Get("X-Job-Id") != "" {
			t.Errorf("%s: %d %v %s", filepath.Base(path), r.status, r.header, r.body)
		}
	}
	if n := g.upstream.Calls(); n != 0 {
		t.Errorf("%d pictures were drawn", n)
	}
	drawn := newGateway(t, setup{apiEnv: []string{"HOUSEKEEPING_REPLIES=false"}})
	if r := drawn.do(http.MethodPost, "/v1/chat/completions", chat("### Task:\nGenerate a concise, 3-5 word title\n### Output:\nJSON format: { \"title\": \"\" }\n### Chat History:\n<chat_history>\nUSER: a\n</chat_history>")); r.status != http.StatusOK || drawn.upstream.Calls() != 1 {
		t.Errorf("turned off: %d with %d pictures", r.status, drawn.upstream.Calls())
	}
}

// refusing declines after a while, when a call that is kept alive has long had its status.
func refusing(after time.Duration) simupstream.Config {
	refusal := simupstream.Decline(http.StatusBadRequest, reason)
	refusal.Latency = after
	return simupstream.Config{Behave: always(refusal)}
}

// The official Go client is sent round while it waits, and gets the true error.
func TestLateFailureForOpenAIGo(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{apiEnv: []string{"SYNC_KEEPALIVE=200ms"}, upstream: refusing(time.Second)})
	client := openai.NewClient(option.WithBaseURL(g.url+"/v1"), option.WithHTTPClient(g.client()), option.WithAPIKey(clientKey))
	_, err := client.Chat.Completions.New(t.Context(), chatParams("a cat"))
	e, ok := errors.AsType[*openai.Error](err)
	if !ok || e.StatusCode != http.StatusBadRequest || e.Code != "upstream_rejected" || g.upstream.Calls() != 1 {
		t.Errorf("error = %v after %d upstream calls", err, g.upstream.Calls())
	}
	picture := newGateway(t, setup{apiEnv: []string{"SYNC_KEEPALIVE=200ms"}, upstream: simupstream.Config{Latency: time.Second}})
	client = openai.NewClient(option.WithBaseURL(picture.url+"/v1"), option.WithHTTPClient(picture.client()), option.WithAPIKey(clientKey))
	reply, err := client.Chat.Completions.New(t.Context(), chatParams("a cat"))
	if err != nil || len(reply.Choices) != 1 || !onePicture.MatchString(reply.Choices[0].Message.Content) || picture.upstream.Calls() != 1 {
		t.Errorf("got %+v, %v after %d upstream calls", reply, err, picture.upstream.Calls())
	}
}

// Any other client has its connection broken. One that counts its tries and comes again gets what became of the job.
func TestLateFailureForOthers(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{apiEnv: []string{"SYNC_KEEPALIVE=200ms"}, upstream: refusing(time.Second)})
	ask := func(count string) (r reply, err error) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/v1/images/generations", strings.NewReader(`{"prompt":"a cat"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+clientKey)
		req.Header.Set("X-Stainless-Lang", "python")
		req.Header.Set("X-Stainless-Retry-Count", count)
		resp, err := g.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // it was read
		r = reply{status: resp.StatusCode, header: resp.Header}
		r.body, err = io.ReadAll(resp.Body)
		return r, err
	}
	first, err := ask("0")
	if first.status != http.StatusOK || err == nil || strings.Trim(string(first.body), "\n") != "" || len(first.body) == 0 {
		t.Errorf("first: %d %q, %v; want newlines and a break", first.status, first.body, err)
	}
	again, err := ask("1")
	if again.status != http.StatusBadRequest || err != nil || !bytes.Contains(again.body, []byte("upstream_rejected")) ||
		again.header.Get("X-Job-Id") != first.header.Get("X-Job-Id") {
		t.Errorf("again: %d %q, %v", again.status, again.body, err)
	}
	if n := g.upstream.Calls(); n != 1 {
		t.Errorf("%d upstream calls, want 1", n)
	}
}

// A cancelled response stops where it is: in the queue, or in the middle of its call.
func TestCancelledResponses(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{workerEnv: []string{"WORKER_CONCURRENCY=1"}, upstream: simupstream.Config{Latency: time.Minute}})
	create := func() string {
		t.Helper()
		var r struct {
			ID, Status string
			Output     []any
		}
		g.do(http.MethodPost, "/v1/responses", map[string]any{"input": "a cat", "background": true}).into(t, &r)
		if r.Status != "queued" || r.Output == nil {
			t.Fatalf("created %+v", r)
		}
		return r.ID
	}
	status := func(method, path string) string {
		t.Helper()
		var r struct{ Status string }
		g.do(method, path, nil).into(t, &r)
		return r.Status
	}
	running := create()
	waitUntil(t, "the upstream is called", patience, func() bool { return g.upstream.InFlight() == 1 })
	queued := create()
	for _, id := range []string{queued, running} {
		if got := status(http.MethodPost, "/v1/responses/"+id+"/cancel"); got != "cancelled" {
			t.Errorf("%s is %s", id, got)
		}
	}
	waitUntil(t, "the call is broken off", patience, func() bool { return g.upstream.InFlight() == 0 })
	if n := g.redis().LLen(context.Background(), "asynq:{exacg-batch}:pending").Val(); n != 0 {
		t.Errorf("%d tasks are left in the queue", n)
	}
	var j struct {
		Status string
		Calls  []struct{ Outcome, Billed string }
	}
	waitUntil(t, "the ledger has the call", patience, func() bool {
		g.do(http.MethodGet, "/v1/jobs/job_"+strings.TrimPrefix(running, "resp_"), nil).into(t, &j)
		return len(j.Calls) == 1 && j.Calls[0].Outcome == "cancelled"
	})
	if j.Status != "cancelled" || status(http.MethodGet, "/v1/responses/"+running) != "cancelled" || g.upstream.Calls() != 1 {
		t.Errorf("job = %+v after %d upstream calls", j, g.upstream.Calls())
	}
	if again := create(); status(http.MethodPost, "/v1/responses/"+again+"/cancel") != "cancelled" {
		t.Error("a third one could not be cancelled")
	}
}
