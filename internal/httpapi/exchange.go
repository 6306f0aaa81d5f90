package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// exchange is what is known of one request and its reply. It travels in the context and is filled in on the way; the parts
// of the request touch it one after the other, and nobody else.
type exchange struct {
	requestID string
	path      string        // as the client wrote it
	r         *http.Request // as it is routed
	start     time.Time
	w         middleware.WrapResponseWriter
	wait      func()            // see rest; nil: nothing is left of the request
	then      func()            // what comes after the wait
	alive     keepalive         // of a plain reply
	key       *Key              // once authenticated
	owner     string            // who has the key
	digest    [sha256.Size]byte // of the body, where the request may be one of several
	jobID     job.ID            // once there is a job
	text      bool              // answered with text: nothing is drawn
	route     string            // overrides the pattern in log and metrics
	status    int               // overrides the status in log and metrics
	err       *imagegen.Error
}

type exchangeKey struct{}

// begin prepares a request for its handler.
func (x *exchange) begin(r *http.Request) {
	x.requestID, x.path = requestID(r), r.URL.Path
	x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	x.r.URL = canonicalURL(r.URL)
	x.w.Header().Set("X-Request-Id", x.requestID)
}

// exchangeOf returns the request's exchange. It panics outside of Server.ServeHTTP.
func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeKey{}).(*exchange) //nolint:errcheck // a handler without one is a wiring error
}

const maxRequestID = 128

// requestID returns the client's own id if it is fit for a header and a log line, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	unfit := strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
	if id == "" || len(id) > maxRequestID || unfit {
		return "req_" + strings.ToLower(rand.Text())
	}
	return id
}
