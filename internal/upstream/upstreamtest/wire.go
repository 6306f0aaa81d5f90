package upstreamtest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// connections break at every stage of a call.
func (p Protocol) connections(t *testing.T) {
	t.Parallel()
	broken := want{Outcome: imagegen.OutcomeNetwork, Billed: imagegen.BilledUnknown, Transient: true, Kind: imagegen.KindUpstreamError}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		unsent := broken
		unsent.Billed = imagegen.BilledNo
		_, err := p.New(t, "http://"+closedPort(t), ample).Generate(t.Context(), p.Order)
		check(t, err, unsent)
	})
	for name, answer := range map[string]string{
		"reset without an answer": "",
		"cut off in the header":   "HTTP/1.1 200 OK\r\nContent-Le",
		"cut off in the body":     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"success\":true,",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := p.New(t, rawServer(t, answer), ample).Generate(t.Context(), p.Order)
			check(t, err, broken)
		})
	}
	t.Run("the header is endless", func(t *testing.T) {
		t.Parallel()
		endless := "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 1<<20)
		_, err := p.New(t, rawServer(t, endless), ample).Generate(t.Context(), p.Order)
		check(t, err, broken)
	})
}

// contexts end calls that hang.
func (p Protocol) contexts(t *testing.T) {
	t.Parallel()
	timeout := want{Outcome: imagegen.OutcomeTimeout, Billed: imagegen.BilledUnknown, Transient: true, Kind: imagegen.KindUpstreamTimeout}
	t.Run("no answer in time", func(t *testing.T) {
		t.Parallel()
		_, err := p.call(t, time.Second, hang)
		check(t, err, timeout)
	})
	t.Run("an answer that drips", func(t *testing.T) {
		t.Parallel()
		_, err := p.call(t, time.Second, drip)
		check(t, err, timeout)
	})
	t.Run("cancelled in mid-call", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			hang(w, r)
		}))
		t.Cleanup(server.Close)
		_, err := p.New(t, server.URL, ample).Generate(ctx, p.Order)
		check(t, err, want{Outcome: imagegen.OutcomeCancelled, Billed: imagegen.BilledUnknown, Transient: true, Kind: imagegen.KindUpstreamError})
	})
	t.Run("cancelled before it began", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.New(t, "http://"+closedPort(t), ample).Generate(ctx, p.Order)
		check(t, err, want{Outcome: imagegen.OutcomeCancelled, Billed: imagegen.BilledNo, Transient: true, Kind: imagegen.KindUpstreamError})
	})
}

// secrets come back from a server that repeats what it was sent.
func (p Protocol) secrets(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"refused": 400, "auth": 401, "quota": 402, "busy": 429, "broken": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := p.call(t, ample, func(w http.ResponseWriter, r *http.Request) {
				p.Decline(w, status, "sent by "+r.Header.Get("Authorization")+" from http://10.1.2.3:8188/x?key="+Key)
			})
			e := callError(t, err)
			if strings.Contains(e.Message, "10.1.2.3") {
				t.Errorf("an address is in %q", e.Message)
			}
		})
	}
}

// hang reads the request and never answers.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the server notices that the client has gone only after that
	<-r.Context().Done()
}

// drip sends spaces, one at a time, for as long as somebody listens.
func drip(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// closedPort returns an address that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l := listen(t)
	_ = l.Close()
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rawServer reads a request, sends answer as it is, and resets the connection.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serveRaw(conn, answer)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func serveRaw(conn net.Conn, answer string) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var seen strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), "}") { // a whole JSON body, in small requests
		n, err := conn.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			break
		}
	}
	_, _ = io.WriteString(conn, answer)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
