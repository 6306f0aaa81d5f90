package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func serveFor(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestClosedLoopChecksEveryReply(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	addr := serveFor(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != "{}" || r.Header.Get("Authorization") != "Bearer key" {
			t.Errorf("got %q from %q", body, r.Header.Get("Authorization"))
		}
		switch n.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			_, _ = io.WriteString(w, "nothing of use")
		case 3:
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, "a picture")
		}
	})
	o, err := closedLoop(t.Context(), newTarget(addr, "/", "key", "{}", http.StatusOK, "picture"), 1, 8, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.samples) != 5 || o.errors != 3 || o.first == nil {
		t.Errorf("%d calls went well and %d failed (%v), want 5 and 3", len(o.samples), o.errors, o.first)
	}
}

func TestClosedLoopKeepsConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]int)
	addr := serveFor(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.RemoteAddr]++
		_, _ = io.WriteString(w, "picture")
	})
	if _, err := closedLoop(t.Context(), newGet(addr, "/", "key", "picture"), 3, 4, 0); err != nil {
		t.Fatal(err)
	}
	for conn, calls := range seen {
		if calls != 4 {
			t.Errorf("%d calls over %s, want 4", calls, conn)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d connections, want 3", len(seen))
	}
}

func TestSpreadLoopUsesEveryTarget(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]int)
	addr := serveFor(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path]++
		_, _ = io.WriteString(w, "picture")
	})
	var targets []target
	for i := range 10 {
		targets = append(targets, newGet(addr, fmt.Sprint("/", i), "key", "picture"))
	}
	if _, err := spreadLoop(t.Context(), targets, 2, 10, 0); err != nil {
		t.Fatal(err)
	}
	for path, calls := range seen {
		if calls != 2 {
			t.Errorf("%s was called %d times, want 2", path, calls)
		}
	}
	if len(seen) != len(targets) {
		t.Errorf("%d targets were called, want %d", len(seen), len(targets))
	}
}

func TestClosedLoopEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	addr := serveFor(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := closedLoop(ctx, newGet(addr, "/", "key", ""), 1, 0, time.Hour); err == nil {
		t.Error("it ended without an error")
	}
}
