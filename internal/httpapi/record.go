package httpapi

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// statusClientGone is what log and metrics say of a request whose client did not wait for the reply.
const statusClientGone = 499

// route notes what the request was routed to, before the router takes that back.
func route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, routed := exchangeOf(r), chi.RouteContext(r.Context())
		defer func() { // deferred for the sake of handlers that panic
			if x.route == "" {
				x.route = routed.RoutePattern()
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// report logs and counts a request. It never writes paths, prompts or keys: a path may hold what a client pasted into its
// base URL.
func (s *Server) report(x *exchange) {
	took := time.Since(x.start)
	route, method, status := x.summary()
	if s.metrics != nil {
		s.metrics.RequestDone(route, method, status, took)
	}
	attrs := append(make([]slog.Attr, 0, 12),
		slog.String("request_id", x.requestID), slog.String("method", method), slog.String("route", route),
		slog.Int("status", status), slog.Int64("duration_ms", took.Milliseconds()),
		slog.String("client", s.clientAddress(x.r)))
	s.log.LogAttrs(x.r.Context(), level(route, status), "request", x.details(attrs)...)
}

func (x *exchange) summary() (route, method string, status int) {
	route = x.route
	if route == "" {
		route = "unmatched"
	}
	method = "other"
	if slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, x.r.Method) {
		method = x.r.Method
	}
	switch {
	case x.status != 0:
		status = x.status
	case x.w.Status() != 0:
		status = x.w.Status()
	default:
		status = http.StatusOK // what net/http sends for a handler that wrote nothing
	}
	return route, method, status
}

// details appends what only some requests have.
func (x *exchange) details(attrs []slog.Attr) []slog.Attr {
	if x.owner != "" {
		attrs = append(attrs, slog.String("owner", x.owner[:8]))
	}
	if x.key != nil && x.key.Name != "" {
		attrs = append(attrs, slog.String("key", x.key.Name))
	}
	if x.jobID != "" {
		attrs = append(attrs, slog.String("job_id", string(x.jobID)))
	}
	if x.text {
		attrs = append(attrs, slog.Bool("housekeeping", true))
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("kind", string(x.err.Kind)))
		if x.err.Err != nil {
			attrs = append(attrs, slog.String("error", x.err.Err.Error()))
		}
	}
	return attrs
}

func level(route string, status int) slog.Level {
	switch {
	case status == http.StatusInternalServerError:
		return slog.LevelError
	case status > http.StatusInternalServerError:
		return slog.LevelWarn
	case route == "/healthz":
		return slog.LevelDebug // a line every few seconds otherwise
	default:
		return slog.LevelInfo
	}
}

// clientAddress returns the address of the peer, or what the proxy in front says it is.
func (s *Server) clientAddress(r *http.Request) string {
	if s.trust {
		first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
		if addr, err := netip.ParseAddr(strings.TrimSpace(first)); err == nil {
			return addr.String()
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// catch is deferred, and answers a panic with a 500. If a reply has begun it breaks the connection: half of one must not
// look whole.
func (s *Server) catch(x *exchange) {
	v := recover()
	if v == nil {
		return
	}
	x.wait = nil
	x.alive.stop()
	stack := []byte(nil)
	if b, ok := v.(*brokenWait); ok {
		v, stack = b.value, b.stack
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares by identity too
		panic(v)
	}
	if stack == nil {
		stack = debug.Stack()
	}
	s.log.LogAttrs(x.r.Context(), slog.LevelError, "panic", slog.String("request_id", x.requestID),
		slog.Any("panic", v), slog.String("stack", string(stack)))
	x.err = &imagegen.Error{Kind: imagegen.KindInternal, Err: fmt.Errorf("panic: %v", v)}
	if x.w.Status() != 0 {
		x.status = http.StatusInternalServerError
		panic(http.ErrAbortHandler)
	}
	s.fail(x.w, x.r, x.err)
}
