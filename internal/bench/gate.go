package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// Paths of the simulated upstream beside its own.
const (
	pathHold    = "/bench/hold"    // calls that arrive from now on wait
	pathRelease = "/bench/release" // they go on, all of them
	pathGrant   = "/bench/grant"   // n of them go on; the reply, once they have, is the times between them
)

// gate holds calls at the upstream. Its zero value is open.
type gate struct {
	mu      sync.Mutex
	held    bool
	granted int
	passed  []time.Time   // of those granted
	changed chan struct{} // closed and replaced at every change
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// change does something to the gate, and tells all who wait.
func (g *gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	close(g.changed)
	g.changed = make(chan struct{})
}

// await returns true when yes does, or false when done is closed.
func (g *gate) await(done <-chan struct{}, yes func() bool) bool {
	for {
		g.mu.Lock()
		ok, changed := yes(), g.changed
		g.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

// pass returns when the call may go on.
func (g *gate) pass() {
	g.await(nil, func() bool {
		if g.held && g.granted == 0 {
			return false
		}
		if g.held {
			g.granted--
			g.passed = append(g.passed, time.Now())
			close(g.changed) // whoever granted it may wait for the last one
			g.changed = make(chan struct{})
		}
		return true
	})
}

func (g *gate) hold()    { g.change(func() { g.held = true }) }
func (g *gate) release() { g.change(func() { g.held = false }) }

// grant lets n calls pass, and returns the times between them.
func (g *gate) grant(ctx context.Context, n int) []time.Duration {
	g.change(func() { g.granted, g.passed = n, nil })
	if !g.await(ctx.Done(), func() bool { return len(g.passed) == n }) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	gaps := make([]time.Duration, 0, n)
	for i := 1; i < len(g.passed); i++ {
		gaps = append(gaps, g.passed[i].Sub(g.passed[i-1]))
	}
	return gaps
}

// gatedUpstream is the simulated one with a gate before it.
func gatedUpstream(latency time.Duration) http.Handler {
	g := newGate()
	sim := simupstream.New(simupstream.Config{
		APIKey: upstreamKey, Latency: latency, KeepRequests: 1,
		Behave: func(simupstream.Request) simupstream.Behaviour {
			g.pass()
			return simupstream.Behaviour{}
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/", sim)
	mux.HandleFunc(pathHold, func(http.ResponseWriter, *http.Request) { g.hold() })
	mux.HandleFunc(pathRelease, func(http.ResponseWriter, *http.Request) { g.release() })
	mux.HandleFunc(pathGrant, func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(g.grant(r.Context(), n))
	})
	return mux
}
