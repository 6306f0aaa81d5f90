package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// waiterBytes is how much memory a caller may cost while it waits. Measured are 39 KiB with its own end of the connection, of
// which net/http's buffers are 10 KiB and 10 KiB the stack that the fake's Wait takes; the rest is room for other versions
// and for the race detector. With the stack that the fake's Submit takes it would be 83 KiB.
const waiterBytes = 48 << 10

// Who waits keeps neither its request nor the stack that making its job took, nor what the reply before that took.
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
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection shrinks stacks, but nobody can say when one comes
	before := inUse()
	conns := make([]*caller, callers)
	for i := range conns {
		conns[i] = dial(t, server)
		conns[i].ask(t)
		<-waits
		end <- struct{}{}
		conns[i].wantPicture(t)
	}
	for _, c := range conns {
		c.ask(t)
		<-waits
	}
	jobs.mu.Lock()
	jobs.made = nil // the fake's own
	jobs.mu.Unlock()
	wantCheap(t, before, callers)
	close(end)
	for _, c := range conns {
		c.wantPicture(t)
	}
}

// Who stands at the gate costs no more than who waits.
//
//nolint:paralleltest // others' memory would be counted too
func TestStandingAtTheGateIsCheap(t *testing.T) {
	const callers, inside = 200, 64
	enters, open := make(chan struct{}, callers+inside), make(chan struct{})
	jobs := &fakeJobs{submitFunc: func(_ context.Context, n job.New) (job.Submission, error) {
		enters <- struct{}{}
		<-open
		return job.Submission{Job: newJob(n)}, nil
	}}
	server := httptest.NewServer(newServer(t, jobs))
	defer server.Close()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var conns []*caller
	crowd := func(n int) {
		for range n {
			conns = append(conns, dial(t, server))
			conns[len(conns)-1].ask(t)
		}
	}
	crowd(inside)
	for range inside {
		<-enters
	}
	before := inUse()
	crowd(callers)
	stacks := make([]byte, 8<<20)
	for deadline := time.Now().Add(30 * time.Second); bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("(*gate).enter(")) < callers; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nobody stands at the gate")
		}
	}
	wantCheap(t, before, callers)
	close(open)
	for _, c := range conns {
		c.wantPicture(t)
	}
}

// caller is a client with a connection of its own.
type caller struct {
	conn    net.Conn
	replies *bufio.Reader
}

func dial(t *testing.T, server *httptest.Server) *caller {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &caller{conn: conn, replies: bufio.NewReaderSize(conn, 1<<10)}
}

// ask sends a request that is large, for all that its job keeps of it.
func (c *caller) ask(t *testing.T) {
	t.Helper()
	body := fmt.Sprintf(`{"prompt":"a","user":%q}`, strings.Repeat("u", 32<<10))
	ask := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
	if _, err := c.conn.Write([]byte(ask)); err != nil {
		t.Fatal(err)
	}
}

func (c *caller) wantPicture(t *testing.T) {
	t.Helper()
	reply, err := http.ReadResponse(c.replies, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close() //nolint:errcheck // it was read
	n, err := io.Copy(io.Discard, reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK || reply.ContentLength != n {
		t.Errorf("got status %d, %d bytes of %d, %v", reply.StatusCode, n, reply.ContentLength, err)
	}
}

// wantCheap is for callers who have come since before, and wait.
func wantCheap(t *testing.T, before usage, callers int64) {
	t.Helper()
	now := inUse()
	stacks, objects := (now.stacks-before.stacks)/callers, (now.objects-before.objects)/callers
	t.Logf("a caller that waits costs %d bytes of stacks and %d of objects", stacks, objects)
	if each := stacks + objects; each > waiterBytes {
		t.Errorf("a caller that waits costs %d bytes, want at most %d", each, waiterBytes)
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

// usage is bytes of stacks, and of live objects.
type usage struct{ stacks, objects int64 }

func inUse() usage {
	read := func(name string) int64 {
		s := []metrics.Sample{{Name: name}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64()) //nolint:gosec // of one process: far from overflow
	}
	stacks := read("/memory/classes/heap/stacks:bytes")
	runtime.GC()
	return usage{stacks, read("/memory/classes/heap/objects:bytes")}
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

// So is one that happens in a wait; and the request has its line, with the job that it waited for.
func TestPanicInAWaitIsLoggedWithItsStack(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	jobs := &fakeJobs{waitFunc: breaksLate}
	w := send(t, newServer(t, jobs, logInto(&log)), "POST", "/v1/chat/completions", `{"prompt":"a"}`)
	wantError(t, w, http.StatusInternalServerError, "internal_error", "")
	first, rest, _ := strings.Cut(log.String(), "\n")
	if !strings.Contains(first, "httpapi_test.breaksLate") {
		t.Errorf("got %s", first)
	}
	for _, want := range []string{`"route":"/v1/chat/completions"`, `"status":500`, `"job_id":"job_abc"`} {
		if !strings.Contains(rest, want) {
			t.Errorf("got %s without %s", rest, want)
		}
	}
}

func breaksLate(context.Context, string, job.ID) (job.Job, error) { panic("broken") }
