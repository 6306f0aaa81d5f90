package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// beside starts one more API process on the gateway's Redis, and returns the gateway as it is called through that one.
// env comes on top of the gateway's own.
func (g *gateway) beside(env ...string) *gateway {
	g.t.Helper()
	other := *g
	other.setup.apiEnv = append(append([]string{}, g.setup.apiEnv...), env...)
	other.startAPI()
	return &other
}

// caller is a call under way whose client may go away.
type caller struct {
	t    testing.TB
	done <-chan later
	hang context.CancelFunc
}

// calls starts a POST with these headers beside the key and the type of JSON.
func (g *gateway) calls(path string, body any, header map[string]string) *caller {
	ctx, hang := context.WithCancel(context.Background())
	done := make(chan later, 1)
	b, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	var calling sync.WaitGroup
	calling.Go(func() {
		r, err := g.post(ctx, path, b, header)
		done <- later{r, err}
	})
	g.t.Cleanup(func() {
		hang()
		calling.Wait()
	})
	return &caller{t: g.t, done: done, hang: hang}
}

// post makes one POST. It never fails the test, so that any goroutine may use it.
func (g *gateway) post(ctx context.Context, path string, body []byte, header map[string]string) (reply, error) {
	return g.ask(ctx, http.MethodPost, path, body, header)
}

// ask makes one request.
func (g *gateway) ask(ctx context.Context, method, path string, body []byte, header map[string]string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+clientKey)
	req.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := g.client().Do(req)
	if err != nil {
		return reply{}, fmt.Errorf("call gateway: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	r := reply{status: resp.StatusCode, header: resp.Header}
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return r, fmt.Errorf("read reply: %w", err)
	}
	return r, nil
}

// must is ask for the test's own goroutine.
func (g *gateway) must(method, path string, body any, header map[string]string) reply {
	g.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	r, err := g.ask(context.Background(), method, path, b, header)
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

// leave hangs up, and waits until the client knows.
func (c *caller) leave() {
	c.t.Helper()
	c.hang()
	if l := <-c.done; l.err == nil {
		c.t.Errorf("a caller that was to hang up has been answered: %d %s", l.reply.status, l.reply.body)
	}
}

// wait waits for the reply.
func (c *caller) wait() reply {
	c.t.Helper()
	return answer(c.t, c.done)
}

// answer waits for the reply to a call.
func answer(t testing.TB, call <-chan later) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case l := <-call:
		if l.err != nil {
			t.Fatal(l.err)
		}
		return l.reply
	case <-ctx.Done():
		t.Fatalf("no reply within %v", patience)
	}
	panic("unreachable")
}

// jobView is what the tests look at of a job.
type jobView struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Request struct {
		Prompt string `json:"prompt"`
	} `json:"request"`
	Result *struct {
		Data []struct {
			URL string `json:"url"`
		} `json:"data"`
	} `json:"result"`
}

// job reads a job.
func (g *gateway) job(id string) (j jobView) {
	g.t.Helper()
	g.must(http.MethodGet, "/v1/jobs/"+id, nil, nil).into(g.t, &j)
	return j
}

// jobs lists all of the key's jobs, the latest first.
func (g *gateway) jobs() []jobView {
	g.t.Helper()
	var list struct {
		Data    []jobView
		HasMore bool `json:"has_more"`
	}
	g.must(http.MethodGet, "/v1/jobs?limit=100", nil, nil).into(g.t, &list)
	if list.HasMore {
		g.t.Fatal("there are more than 100 jobs")
	}
	return list.Data
}

// jobOf waits for the latest job with the prompt and returns its id.
func (g *gateway) jobOf(prompt string) (id string) {
	g.t.Helper()
	waitUntil(g.t, "there is a job of "+prompt, patience, func() bool {
		for _, j := range g.jobs() {
			if j.Request.Prompt == prompt {
				id = j.ID
				return true
			}
		}
		return false
	})
	return id
}

// becomes waits until a job has the status.
func (g *gateway) becomes(id, status string) {
	g.t.Helper()
	var j jobView
	waitUntil(g.t, fmt.Sprintf("%s is %s", id, status), patience, func() bool {
		j = g.job(id)
		return j.Status == status
	})
}

// count returns the sum of a metric's samples that begin so.
func count(t testing.TB, p *process, sample string) (sum int) {
	t.Helper()
	for line := range strings.Lines(metrics(t, p)) {
		if value, ok := strings.CutPrefix(line, sample); ok {
			_, value, _ = strings.Cut(value, " ")
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			sum += n
		}
	}
	return sum
}

// waiters waits until so many callers wait for a job at this API process.
func (g *gateway) waiters(n int) {
	g.t.Helper()
	waitUntil(g.t, fmt.Sprintf("%d callers wait", n), patience, func() bool { return count(g.t, g.api, "zimage_waiters") == n })
}

// joined waits until so many callers were given an earlier one's job by this API process, and are on its line.
func (g *gateway) joined(n int) {
	g.t.Helper()
	waitUntil(g.t, fmt.Sprintf("%d callers have joined", n), patience, func() bool { return count(g.t, g.api, "zimage_jobs_joined_total") == n })
}

// relay hands TCP connections on to the first of its backends that takes them, as a load balancer does.
type relay struct {
	listener net.Listener
	backends []string // host:port
	took     []atomic.Int64
	running  sync.WaitGroup
}

// startRelay starts a relay to gateways and returns its base URL.
func startRelay(t *testing.T, gateways ...*gateway) (url string, r *relay) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r = &relay{listener: listener, took: make([]atomic.Int64, len(gateways))}
	for _, g := range gateways {
		r.backends = append(r.backends, strings.TrimPrefix(g.url, "http://"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.running.Go(func() { r.accept(ctx) })
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		r.running.Wait()
	})
	return "http://" + listener.Addr().String(), r
}

func (r *relay) accept(ctx context.Context) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.forward(ctx, client) })
	}
}

// forward hands bytes on until either side is through or the test is over.
func (r *relay) forward(ctx context.Context, client net.Conn) {
	defer client.Close() //nolint:errcheck // nothing to be done
	for i, address := range r.backends {
		backend, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			continue
		}
		r.took[i].Add(1)
		either, over := context.WithCancel(ctx)
		var pipes sync.WaitGroup
		pipe := func(to, from net.Conn) {
			defer over()
			_, _ = io.Copy(to, from)
		}
		pipes.Go(func() { pipe(backend, client) })
		pipes.Go(func() { pipe(client, backend) })
		<-either.Done()
		_, _ = client.Close(), backend.Close()
		pipes.Wait()
		return
	}
}
