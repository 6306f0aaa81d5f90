package e2e_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// A worker that is told to stop lets its call end, and takes no other.
func TestWorkerStopsAfterItsCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{upstream: simupstream.Config{Latency: 2 * time.Second}})
	call := g.goChat("a cat")
	g.waitForCall()
	g.worker.signal(syscall.SIGTERM)
	waiting := g.goChat("another")
	g.wantPicture(call, patience)
	if code := g.worker.ended(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if n := g.upstream.Calls(); n != 1 {
		t.Errorf("a stopping worker made %d calls, want the one under way", n)
	}
	g.startWorker()
	g.wantPicture(waiting, patience)
}

// A worker out of time hands its work to another one, which draws it at once.
func TestWorkerHandsItsWorkBack(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{
		workerEnv: []string{"SHUTDOWN_TIMEOUT=500ms"}, upstream: simupstream.Config{Behave: slowFirst(time.Hour)},
	})
	call := g.goChat("a cat")
	g.waitForCall()
	g.startWorker()
	if code := g.worker.stop(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	began := time.Now()
	g.wantPicture(call, patience)
	t.Logf("drawn elsewhere %v after the stop", time.Since(began).Round(time.Millisecond))
	if n := g.upstream.Calls(); n != 2 {
		t.Errorf("%d upstream calls, want 2", n)
	}
}

// An API that is told to stop answers who waits: with the picture, or by telling them to come again.
func TestAPIDrains(t *testing.T) {
	t.Parallel()
	t.Run("with the picture", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t, setup{upstream: simupstream.Config{Latency: time.Second}})
		call := g.goChat("a cat")
		g.waitForCall()
		g.api.signal(syscall.SIGTERM)
		g.wantPicture(call, patience)
		if code := g.api.ended(patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})
	t.Run("or with shutting_down", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t, setup{
			apiEnv: []string{"SHUTDOWN_TIMEOUT=300ms"}, upstream: simupstream.Config{Latency: time.Hour},
		})
		call := g.goChat("a cat")
		g.waitForCall()
		g.api.signal(syscall.SIGTERM)
		l := <-call
		if l.err != nil || l.reply.status != http.StatusServiceUnavailable || !strings.Contains(string(l.reply.body), "shutting_down") ||
			l.reply.header.Get("X-Should-Retry") != "true" {
			t.Errorf("got %d %v %s (%v)", l.reply.status, l.reply.header, l.reply.body, l.err)
		}
		if code := g.api.ended(patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})
}
