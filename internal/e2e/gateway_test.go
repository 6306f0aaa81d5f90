package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

const (
	clientKey   = "sk-e2e-client"
	upstreamKey = "sk-e2e-upstream-secret"
)

// setup says how a gateway is built. Its zero value is one API and one worker on a database of the test's own.
type setup struct {
	redisURL  string // default: redistest.URL
	noWorker  bool
	workerEnv []string
	apiEnv    []string
	upstream  simupstream.Config
}

// gateway is the product, running, in front of a simulated upstream.
type gateway struct {
	t        testing.TB
	setup    setup
	upstream *simupstream.Server
	upURL    string
	api      *process
	worker   *process // nil with noWorker
	url      string   // base URL of the API, without /v1
	admin    string   // base URL of the API's admin listener
}

// newGateway starts a gateway and waits until both processes run.
func newGateway(t testing.TB, s setup) *gateway {
	t.Helper()
	if s.redisURL == "" {
		s.redisURL = redistest.URL(t)
	}
	s.upstream.APIKey = upstreamKey
	g := &gateway{t: t, setup: s, upstream: simupstream.New(s.upstream)}
	server := httptest.NewServer(g.upstream)
	t.Cleanup(func() {
		g.upstream.Close()
		server.Close()
	})
	g.upURL = server.URL
	g.startAPI()
	if !s.noWorker {
		g.worker = g.startWorker()
	}
	return g
}

// startAPI starts an API process; the gateway is called through it from then on.
func (g *gateway) startAPI() {
	g.t.Helper()
	g.api = launch(g.t, "api", append([]string{
		"REDIS_URL=" + g.setup.redisURL, "GATEWAY_API_KEY=sk-other," + clientKey,
		"LISTEN_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0",
	}, g.setup.apiEnv...))
	attrs := g.api.logged("api is listening")
	g.url, g.admin = fmt.Sprintf("http://%s", attrs["address"]), fmt.Sprintf("http://%s", attrs["admin_address"])
}

// configFile returns the setting that names a file with this text.
func configFile(t testing.TB, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return "CONFIG_FILE=" + path
}

// startWorker starts one more worker process.
func (g *gateway) startWorker() *process {
	g.t.Helper()
	p := launch(g.t, "worker", append([]string{
		"REDIS_URL=" + g.setup.redisURL, "SD_API_KEY=" + upstreamKey, "SD_API_URL=" + g.upURL + simupstream.GeneratePath,
		"ADMIN_ADDR=127.0.0.1:0",
	}, g.setup.workerEnv...))
	p.logged("worker is running")
	return p
}

// redis returns a client on the gateway's Redis.
func (g *gateway) redis() redis.UniversalClient {
	g.t.Helper()
	client, err := redisconn.New(g.setup.redisURL)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = client.Close() })
	return client
}

// reply is an HTTP reply, read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// into decodes the body.
func (r reply) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		t.Fatalf("reply %d is not the JSON it should be: %v\n%s", r.status, err, r.body)
	}
}

// call makes one request with the client's key. It never fails the test, so that any goroutine may use it.
func (g *gateway) call(ctx context.Context, method, path string, body any) (reply, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return reply{}, fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(b))
	if err != nil {
		return reply{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+clientKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.client().Do(req)
	if err != nil {
		return reply{}, fmt.Errorf("call gateway: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	r := reply{status: resp.StatusCode, header: resp.Header}
	r.body, err = io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, fmt.Errorf("read reply: %w", err)
	}
	return r, nil
}

// do is call for the test's own goroutine.
func (g *gateway) do(method, path string, body any) reply {
	g.t.Helper()
	r, err := g.call(context.Background(), method, path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

// send makes one request as it is given: with these headers and no others, and a body that need not be JSON.
func (g *gateway) send(method, path, body string, header map[string]string) reply {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := g.client().Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	r := reply{status: resp.StatusCode, header: resp.Header}
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		g.t.Fatal(err)
	}
	return r
}

// chat is the body of the simplest chat call.
func chat(prompt string) map[string]any {
	return map[string]any{"model": "Z-Image", "messages": []any{map[string]any{"role": "user", "content": prompt}}}
}

// later is the outcome of a call under way.
type later struct {
	reply reply
	err   error
}

// goChat starts a chat call.
func (g *gateway) goChat(prompt string) <-chan later {
	c := make(chan later, 1)
	go func() {
		r, err := g.call(context.Background(), http.MethodPost, "/v1/chat/completions", chat(prompt))
		c <- later{r, err}
	}()
	return c
}

// wantPicture waits for a call that must bring one picture.
func (g *gateway) wantPicture(c <-chan later, within time.Duration) {
	g.t.Helper()
	select {
	case l := <-c:
		if l.err != nil || l.reply.status != http.StatusOK || !bytes.Contains(l.reply.body, []byte("](http")) {
			g.t.Fatalf("want a picture, got %d %s (%v)", l.reply.status, l.reply.body, l.err)
		}
	case <-time.After(within):
		g.t.Fatalf("no picture within %v", within)
	}
}

// waitUntil asks until the answer is yes.
func waitUntil(t testing.TB, what string, within time.Duration, yes func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain until %s", within, what)
		}
	}
}
