package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

const (
	// longWait is twice what nginx waits for the next byte of a reply.
	longWait = 120 * time.Second
	// lateFailure lies between the commit of a plain call and the end of nginx's patience.
	lateFailure = 50 * time.Second
	// longestSilence between two data lines of a stream, with a second for a busy machine.
	longestSilence = 26 * time.Second
)

// nginxConfig says nothing about proxying but where to: its defaults are what is tested.
const nginxConfig = `daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
  access_log %[1]s/access.log;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  scgi_temp_path %[1]s/scgi;
  uwsgi_temp_path %[1]s/uwsgi;
  server {
    listen %[2]s;
    location / { proxy_pass %[3]s; }
  }
}
`

// needed skips a test that lacks a program, except where everything has to be there.
func needed(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is needed: %v", what, err)
	default:
		t.Skipf("skipped: needs %s: %v", what, err)
	}
}

// nginxPath finds nginx, which is often not on the PATH of ordinary users.
func nginxPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/nginx")
	}
	needed(t, "nginx", err)
	return path
}

// startNginx puts an nginx with its default timeouts in front of a gateway and returns its base URL.
func startNginx(t *testing.T, backendURL string) string {
	t.Helper()
	path, dir, address := nginxPath(t), t.TempDir(), freeAddress(t)
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, address, backendURL), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(context.Background(), path, "-e", "stderr", "-p", dir, "-c", "nginx.conf") //nolint:gosec // nginx, from PATH
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("output of nginx:\n%s", stderr.String())
		}
	})
	url := "http://" + address
	waitUntil(t, "nginx answers", patience, func() bool { return answers(t, url+"/healthz", ended) })
	return url
}

// answers reports whether a GET brings 200, and fails the test when that can never be.
func answers(t *testing.T, url string, ended <-chan struct{}) bool {
	t.Helper()
	select {
	case <-ended:
		t.Fatal("nginx ended before it answered")
	default:
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // it accepted nothing
	return listener.Addr().String()
}

// TestLongWaitsBehindNginx has a picture take twice as long as nginx waits for a byte.
func TestLongWaitsBehindNginx(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	g := newGateway(t, setup{upstream: simupstream.Config{Latency: longWait}})
	g.url = startNginx(t, g.url)

	t.Run("chat stream", func(t *testing.T) { t.Parallel(); wantLongStream(t, g) })
	t.Run("plain chat", func(t *testing.T) {
		t.Parallel()
		var completion struct {
			Choices []struct {
				Message struct {
					Content string `json:"content"`
				} `json:"message"`
			} `json:"choices"`
		}
		longPlainCall(t, g, "/v1/chat/completions", chat("a cat"), &completion)
		if len(completion.Choices) != 1 || !strings.HasPrefix(completion.Choices[0].Message.Content, "![a cat](http") {
			t.Errorf("got %+v", completion)
		}
	})
	t.Run("plain chat with the official JavaScript client", func(t *testing.T) {
		t.Parallel()
		var got struct {
			Content string `json:"content"`
		}
		out := javaScriptCall(t, g.url)
		if err := json.Unmarshal(out, &got); err != nil || !onePicture.MatchString(got.Content) {
			t.Errorf("the client got %s (%v)", out, err)
		}
	})
	t.Run("plain images", func(t *testing.T) {
		t.Parallel()
		var images struct {
			Data []struct {
				URL string `json:"url"`
			} `json:"data"`
		}
		longPlainCall(t, g, "/v1/images/generations", map[string]any{"prompt": "a cat"}, &images)
		if len(images.Data) != 1 || !strings.HasPrefix(images.Data[0].URL, "http") {
			t.Errorf("got %+v", images)
		}
	})
}

// longPlainCall makes a call that is kept alive by newlines, and decodes its reply.
func longPlainCall(t *testing.T, g *gateway, path string, body, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longWait+patience)
	defer cancel()
	start := time.Now()
	r, err := g.call(ctx, http.MethodPost, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" || took < longWait {
		t.Errorf("%d %v after %v: %s", r.status, r.header, took, r.body)
	}
	if !bytes.HasPrefix(r.body, []byte("\n\n")) {
		t.Errorf("no newlines kept the call alive: %q", r.body)
	}
	r.into(t, into)
}

// wantLongStream reads a stream line by line and watches the clock: some front ends count only data as life.
func wantLongStream(t *testing.T, g *gateway) {
	t.Helper()
	in := longStream(t, g)
	var all strings.Builder
	empty, last := 0, time.Now()
	for {
		line, err := in.ReadString('\n')
		all.WriteString(line)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v after\n%s", err, all.String())
		}
		if !strings.HasPrefix(line, "data: ") {
			continue
		}
		if silence := time.Since(last); silence > longestSilence {
			t.Errorf("no data for %v before %q", silence, line)
		}
		last = time.Now()
		if strings.Contains(line, `"content":""`) && !strings.Contains(line, `"role"`) {
			empty++
		}
	}
	stream := all.String()
	if first, _, _ := strings.Cut(stream, "\n"); !strings.HasPrefix(first, "data: ") || !strings.Contains(first, `"role":"assistant"`) {
		t.Errorf("the first line is %q, want the role", first)
	}
	if comments := wantPlainEvents(t, stream); comments == 0 || empty < int(longWait/longestSilence) {
		t.Errorf("%d comments and %d empty chunks", comments, empty)
	}
	if strings.Count(stream, "![a cat](http") != 1 || strings.Count(stream, `"finish_reason":"stop"`) != 1 || !strings.HasSuffix(stream, "data: [DONE]\n\n") {
		t.Errorf("stream:\n%s", stream)
	}
}

// longStream starts a streaming chat call that may last.
func longStream(t *testing.T, g *gateway) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longWait+patience)
	t.Cleanup(cancel)
	ask := chat("a cat")
	ask["stream"] = true
	body, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+clientKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return bufio.NewReader(resp.Body)
}

// nodePath returns Node, where the packages of node/ are installed.
func nodePath(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join("node", "node_modules", "openai"))
	}
	needed(t, "Node with the packages of node/ (npm ci there)", err)
	return node
}

// javaScriptCall has the official client make one plain chat call, and returns what it tells of it.
func javaScriptCall(t *testing.T, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longWait+patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, nodePath(t), "keepalive.mjs") //nolint:gosec // Node, from PATH
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(), "GATEWAY_URL="+url, "GATEWAY_KEY="+clientKey)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// A plain call that fails when most of nginx's patience is spent: the official client raises what went wrong, and the
// picture is asked for once.
func TestLateFailureBehindNginx(t *testing.T) {
	t.Parallel()
	nginxPath(t)
	nodePath(t)
	refusal := simupstream.Decline(http.StatusBadRequest, reason)
	refusal.Latency = lateFailure
	g := newGateway(t, setup{upstream: simupstream.Config{Behave: always(refusal)}})
	start := time.Now()
	out := javaScriptCall(t, startNginx(t, g.url))
	var got struct {
		Error   string `json:"error"`
		Status  int    `json:"status"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(out, &got); err != nil || got.Error != "BadRequestError" || got.Status != http.StatusBadRequest ||
		got.Code != "upstream_rejected" || !strings.Contains(got.Message, reason) {
		t.Errorf("the client got %s (%v)", out, err)
	}
	if calls, took := g.upstream.Calls(), time.Since(start); calls != 1 || took < lateFailure {
		t.Errorf("%d upstream calls in %v, want 1", calls, took)
	}
}
