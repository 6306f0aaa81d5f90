package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// stream starts a streaming chat call and returns its reply without the body, which comes as it is sent.
func (g *gateway) stream() (reply, *bufio.Reader) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	g.t.Cleanup(cancel)
	ask := chat("a cat")
	ask["stream"] = true
	body, err := json.Marshal(ask)
	if err != nil {
		g.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+clientKey)
	resp, err := g.client().Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = resp.Body.Close() })
	return reply{status: resp.StatusCode, header: resp.Header}, bufio.NewReader(resp.Body)
}

// wantPlainEvents checks what breaks released clients: an empty line after a comment, and any field but data.
func wantPlainEvents(t *testing.T, stream string) (comments int) {
	t.Helper()
	lines := strings.Split(stream, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, ":"):
			comments++
			if i+1 == len(lines) || lines[i+1] == "" {
				t.Errorf("an empty line follows the comment %q", line)
			}
		case line != "" && !strings.HasPrefix(line, "data: "):
			t.Errorf("line %q is neither data nor comment", line)
		}
	}
	if strings.Contains(stream, "\r") || !strings.HasSuffix(stream, "\n\n") {
		t.Errorf("the stream is not made of lines:\n%q", stream)
	}
	return comments
}

// TestWaitingStream reads a stream byte for byte: the beginning and the comments come while nothing is drawn yet.
func TestWaitingStream(t *testing.T) {
	t.Parallel()
	upstream, release := held()
	defer release()
	g := newGateway(t, setup{apiEnv: []string{"STREAM_KEEPALIVE=50ms"}, upstream: upstream})
	r, in := g.stream()
	if got := r.header.Get("Content-Type"); r.status != http.StatusOK || got != "text/event-stream; charset=utf-8" ||
		r.header.Get("X-Accel-Buffering") != "no" || r.header.Get("X-Job-Id") == "" || r.header.Get("X-Request-Id") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	var before strings.Builder
	for strings.Count(before.String(), "\n:") < 3 {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, before.String())
		}
		before.WriteString(line)
	}
	release()
	after, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(before.String(), "\n"); !strings.HasPrefix(first, "data: ") || !strings.Contains(first, `"role":"assistant"`) {
		t.Errorf("the first line is %q, want the role", first)
	}
	all := before.String() + string(after)
	wantPlainEvents(t, all)
	if !strings.HasSuffix(all, "data: [DONE]\n\n") || strings.Count(all, "![a cat](http") != 1 || strings.Count(all, `"finish_reason":"stop"`) != 1 {
		t.Errorf("stream:\n%s", all)
	}
}

// A picture that fails after the stream began is an error event, and the last one.
func TestStreamOfAFailure(t *testing.T) {
	t.Parallel()
	refusal := simupstream.Decline(http.StatusBadRequest, reason)
	refusal.Latency = 300 * time.Millisecond
	g := newGateway(t, setup{apiEnv: []string{"STREAM_KEEPALIVE=50ms"}, upstream: simupstream.Config{Behave: always(refusal)}})
	r, in := g.stream()
	body, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	all := string(body)
	if comments := wantPlainEvents(t, all); r.status != http.StatusOK || comments == 0 {
		t.Errorf("%d with %d comments", r.status, comments)
	}
	last := strings.TrimSuffix(all, "\n\n")
	last = last[strings.LastIndex(last, "\n")+1:]
	var e errorBody
	if err := json.Unmarshal([]byte(strings.TrimPrefix(last, "data: ")), &e); err != nil || e.Error.Code != "upstream_rejected" || !strings.Contains(e.Error.Message, reason) {
		t.Errorf("the last line is %q (%v)", last, err)
	}
	if strings.Contains(all, `"finish_reason":"stop"`) {
		t.Errorf("a failure that finished:\n%s", all)
	}
}
