package e2e_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// flood sends n requests, so many at once, each with a prompt of its own that starts with "flood". It returns at once;
// wait ends when all of them were answered or ctx is over.
func (c jobClient) flood(ctx context.Context, n, atOnce int, path string, body func(prompt string) map[string]any) (wait func()) {
	var group sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range n {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if ctx.Err() != nil {
				return
			}
			r, err := c.try(ctx, http.MethodPost, path, body(fmt.Sprintf("flood %d", i)))
			if err == nil && r.status >= http.StatusBadRequest {
				c.g.t.Errorf("request %d of the flood: %d %s", i, r.status, r.body)
			}
		})
	}
	return group.Wait
}

func jobOrder(prompt string) map[string]any { return map[string]any{"prompt": prompt} }

// With 300 jobs of one key waiting for one slot, a single request of another key starts before the fifth next of them.
func TestOneKeysFloodDoesNotStarveAnother(t *testing.T) {
	t.Parallel()
	const jobs = 300
	for name, c := range map[string]struct {
		floodPath string
		flood     func(string) map[string]any
		atOnce    int
		path      string
		body      func(string) map[string]any
	}{
		"a call behind a batch": {"/v1/jobs", jobOrder, 8, "/v1/chat/completions", chat},
		"a call behind calls":   {"/v1/chat/completions", chat, jobs, "/v1/chat/completions", chat},
		"a job behind a batch":  {"/v1/jobs", jobOrder, 8, "/v1/jobs", jobOrder},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := &gate{latency: 30 * time.Millisecond}
			g := newGateway(t, setup{
				workerEnv: []string{"WORKER_CONCURRENCY=1"}, upstream: simupstream.Config{Behave: upstream.behave},
			})
			defer upstream.open()
			admin := g.redis()
			ctx, cancel := context.WithCancel(t.Context())
			upstream.hold()
			wait := g.as(otherKey).flood(ctx, jobs, c.atOnce, c.floodPath, c.flood)
			defer wait()
			defer cancel()
			// One is being drawn.
			waitUntil(t, "the flood waits", 2*time.Minute, func() bool {
				return admin.ZCard(t.Context(), "zimage:{admission}:waiting").Val() == jobs-1
			})
			// The first request meets a fresh flood, the others one that has been served for a while.
			for round, served := range []int{0, 5, 11, 40} {
				g.drawMore(upstream, served)
				prompt := fmt.Sprintf("single %d", round)
				answered := make(chan later, 1)
				go func() {
					r, err := g.as(clientKey).try(ctx, http.MethodPost, c.path, c.body(prompt))
					answered <- later{r, err}
				}()
				waitUntil(t, "the single request waits", patience, func() bool {
					return g.as(clientKey).list("status=queued").has(prompt)
				})
				before := g.upstream.Calls()
				upstream.open()
				l := <-answered
				if l.err != nil || l.reply.status >= http.StatusBadRequest {
					t.Fatalf("the single request: %d %s (%v)", l.reply.status, l.reply.body, l.err)
				}
				waitUntil(t, "the single request is drawn", patience, func() bool { return g.startedAt(prompt) > 0 })
				ahead := g.startedAt(prompt) - before - 1
				t.Logf("%d of the flood started before it", ahead)
				if ahead > 4 {
					t.Errorf("round %d: %d of the flood started before the single request, want at most 4", round, ahead)
				}
			}
		})
	}
}

func (p jobPage) has(prompt string) bool {
	for _, j := range p.Data {
		if j.Request.Prompt == prompt {
			return true
		}
	}
	return false
}

// drawMore lets the upstream draw so many pictures, and holds the next one.
func (g *gateway) drawMore(upstream *gate, pictures int) {
	g.t.Helper()
	if pictures > 0 {
		enough := g.upstream.Calls() + pictures
		upstream.open()
		waitUntil(g.t, "more was drawn", time.Minute, func() bool { return g.upstream.Calls() >= enough })
	}
	upstream.hold()
	// A call that came before the gate was held ends; the one after it stays.
	var last int
	var since time.Time
	waitUntil(g.t, "the upstream stands still", patience, func() bool {
		if n := g.upstream.Calls(); n != last || g.upstream.InFlight() == 0 {
			last, since = n, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
}

// startedAt returns the number of the upstream call for the prompt; 0: there was none yet.
func (g *gateway) startedAt(prompt string) int {
	for _, r := range g.upstream.Requests() {
		if r.Body.Prompt == prompt {
			return r.Call
		}
	}
	return 0
}

// Batch jobs move on while synchronous calls of many keys, each the first of its key, keep the only slot busy.
func TestCallsDoNotStarveABatch(t *testing.T) {
	t.Parallel()
	const callers, batch = 6, 20
	// A lane has at least one of 32 turns.
	const turns = 32
	var keys strings.Builder
	for i := range callers {
		fmt.Fprintf(&keys, "  - {name: k%d, sha256: %x}\n", i, sha256.Sum256(fmt.Appendf(nil, "sk-%d", i)))
	}
	g := newGateway(t, setup{
		workerEnv: []string{"WORKER_CONCURRENCY=1"}, upstream: simupstream.Config{Latency: 10 * time.Millisecond},
		apiEnv: []string{configFile(t, "keys:\n"+keys.String())},
	})
	var over atomic.Bool
	var group sync.WaitGroup
	defer group.Wait()
	defer over.Store(true)
	for i := range callers {
		group.Go(func() {
			for !over.Load() {
				r, err := g.as(fmt.Sprintf("sk-%d", i)).try(context.Background(), http.MethodPost, "/v1/chat/completions", chat("a call"))
				if err != nil || r.status != http.StatusOK {
					t.Errorf("a call: %d %s (%v)", r.status, r.body, err)
					return
				}
			}
		})
	}
	waitUntil(t, "the calls keep the slot busy", patience, func() bool { return g.upstream.Calls() > 2*callers })
	for range batch {
		g.as(clientKey).order(jobOrder("a batch"))
	}
	waitUntil(t, "the batch is drawn", 2*time.Minute, func() bool { return len(g.as(clientKey).list("status=completed&limit=100").Data) == batch })
	var gaps []int
	last := 0
	for _, r := range g.upstream.Requests() {
		if r.Body.Prompt != "a batch" {
			continue
		}
		if last > 0 {
			gaps = append(gaps, r.Call-last-1)
		}
		last = r.Call
	}
	t.Logf("calls between two pictures of the batch: %v", gaps)
	sum := 0
	for _, gap := range gaps {
		sum += gap
		if gap > turns {
			t.Errorf("%d calls were drawn between two pictures of the batch, want at most %d", gap, turns)
		}
	}
	if sum < 2*batch {
		t.Errorf("only %d calls were drawn while the batch was: the calls do not go first", sum)
	}
}
