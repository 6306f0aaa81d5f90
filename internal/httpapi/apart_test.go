package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// waiterBytes is how much memory a caller may cost while it waits. Measured are 34 KiB with its own end of the connection, of
// which net/http's buffers are 10 KiB; the rest is room for other versions and for the race detector. With the stack that
// the fake's Submit takes it would be 83 KiB.
const waiterBytes = 64 << 10

// Who waits keeps neither its request nor the stack that making its job took.
//
//nolint:paralleltest // others' memory would be counted too
func TestWaitingIsCheap(t *testing.T) {
	const callers = 200
	waits, end := make(chan struct{}), make(chan struct{})
	jobs := &fakeJobs{
		submitFunc: func(_ context.Context, n job.New) (job.Submission, error) {
			deep(40)
			return job.Submission{Job: newJob(n)}, nil
		},
		waitFunc: func(context.Context, string, job.ID) (job.Job, error) {
			waits <- struct{}{}
			<-end
			return finished(dogJob()), nil
		},
	}
	server := httptest.NewServer(newServer(t, jobs))
	defer server.Close()
	body := fmt.Sprintf(`{"prompt":"a","user":%q}`, strings.Repeat("u", 32<<10))
	ask := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection shrinks stacks, but nobody can say when one comes
	stacks, objects := inUse()
	conns := make([]net.Conn, callers)
	for i := range conns {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // nothing is left to be written
		if _, err := conn.Write([]byte(ask)); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
		<-waits
	}
	jobs.mu.Lock()
	jobs.made = nil // the fake's own
	jobs.mu.Unlock()
	nowStacks, nowObjects := inUse()
	stacks, objects = (nowStacks-stacks)/callers, (nowObjects-objects)/callers
	t.Logf("a caller that waits costs %d bytes of stacks and %d of objects", stacks, objects)
	if each := stacks + objects; each > waiterBytes {
		t.Errorf("a caller that waits costs %d bytes, want at most %d", each, waiterBytes)
	}
	close(end)
	for _, conn := range conns {
		reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			t.Errorf("got status %d", reply.StatusCode)
		}
	}
}

// deep needs so many KiB of stack.
//
//go:noinline
func deep(kib int) byte {
	var room [1024]byte
	room[kib] = 1
	if kib > 0 {
		room[0] = deep(kib - 1)
	}
	return room[0] + room[kib]
}

// inUse returns the bytes of stacks, and then of live objects.
func inUse() (stacks, objects int64) {
	read := func(name string) int64 {
		s := []metrics.Sample{{Name: name}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64()) //nolint:gosec // of one process: far from overflow
	}
	stacks = read("/memory/classes/heap/stacks:bytes")
	runtime.GC()
	return stacks, read("/memory/classes/heap/objects:bytes")
}

// A panic that happens apart is logged with the stack of where it happened.
func TestPanicApartIsLoggedWithItsStack(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	jobs := &fakeJobs{submitFunc: breaks}
	w := send(t, newServer(t, jobs, logInto(&log)), "POST", "/v1/chat/completions", `{"prompt":"a"}`)
	wantError(t, w, http.StatusInternalServerError, "internal_error", "")
	if first, _, _ := strings.Cut(log.String(), "\n"); !strings.Contains(first, "httpapi_test.breaks") {
		t.Errorf("got %s", first)
	}
}

func breaks(context.Context, job.New) (job.Submission, error) { panic("broken") }
