package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

const otherKey = "sk-other"

// jobClient calls one API process with one key.
type jobClient struct {
	g        *gateway
	url, key string
}

// as returns a client of the API process that was started last.
func (g *gateway) as(key string) jobClient { return jobClient{g, g.url, key} }

// try makes one request, with headers as names and values in turn. It never fails the test, so that any goroutine may
// use it.
func (c jobClient) try(ctx context.Context, method, path string, body any, header ...string) (reply, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return reply{}, fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(b))
	if err != nil {
		return reply{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.g.client().Do(req)
	if err != nil {
		return reply{}, fmt.Errorf("call gateway: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	r := reply{status: resp.StatusCode, header: resp.Header}
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return reply{}, fmt.Errorf("read reply: %w", err)
	}
	return r, nil
}

// do is try for the test's own goroutine.
func (c jobClient) do(method, path string, body any, header ...string) reply {
	c.g.t.Helper()
	r, err := c.try(c.g.t.Context(), method, path, body, header...)
	if err != nil {
		c.g.t.Fatal(err)
	}
	return r
}

// order makes a job and returns it.
func (c jobClient) order(body map[string]any) orderedJob {
	c.g.t.Helper()
	r := c.do(http.MethodPost, "/v1/jobs", body)
	if r.status != http.StatusAccepted {
		c.g.t.Fatalf("job of %v: %d %s", body, r.status, r.body)
	}
	var j orderedJob
	r.into(c.g.t, &j)
	return j
}

// look reads a job; a query may follow the id.
func (c jobClient) look(idAndQuery string) orderedJob {
	c.g.t.Helper()
	r := c.do(http.MethodGet, "/v1/jobs/"+idAndQuery, nil)
	if r.status != http.StatusOK {
		c.g.t.Fatalf("look at %s: %d %s", idAndQuery, r.status, r.body)
	}
	var j orderedJob
	r.into(c.g.t, &j)
	return j
}

// list reads a page of the key's jobs.
func (c jobClient) list(query string) jobPage {
	c.g.t.Helper()
	r := c.do(http.MethodGet, "/v1/jobs?"+query, nil)
	if r.status != http.StatusOK {
		c.g.t.Fatalf("list of %s: %d %s", query, r.status, r.body)
	}
	var page jobPage
	r.into(c.g.t, &page)
	return page
}

// jobPage is one page of a key's jobs.
type jobPage struct {
	Object  string       `json:"object"`
	Data    []orderedJob `json:"data"`
	FirstID *string      `json:"first_id"`
	LastID  *string      `json:"last_id"`
	HasMore bool         `json:"has_more"`
}

func (p jobPage) ids() []string {
	ids := make([]string, len(p.Data))
	for i, j := range p.Data {
		ids[i] = j.ID
	}
	return ids
}

// orderedJob is a job as its owner waits for it.
type orderedJob struct {
	jobBody

	ID            string   `json:"id"`
	QueuePosition *int     `json:"queue_position"`
	ETASeconds    *int     `json:"eta_seconds"`
	HeldUntil     *int64   `json:"held_until"`
	Progress      *float64 `json:"progress"`
	Request       struct {
		Prompt string `json:"prompt"`
	} `json:"request"`
	Result *struct {
		Data []struct {
			URL string `json:"url"`
		} `json:"data"`
	} `json:"result"`
	Error *struct {
		Code string `json:"code"`
	} `json:"error"`
}

// gate is an upstream's answer that can be held back. It is open at first.
type gate struct {
	latency time.Duration

	mu     sync.Mutex
	closed chan struct{} // closed when the gate opens; nil while it is open
}

// behave waits at the gate and then draws.
func (g *gate) behave(simupstream.Request) simupstream.Behaviour {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	if closed != nil {
		<-closed
	}
	return simupstream.Behaviour{Latency: g.latency}
}

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}
