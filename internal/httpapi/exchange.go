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

// exchange is what is known of one request and its reply. It travels in the context and is filled in on the way; only
// the goroutine of the request touches it.
type exchange struct {
	requestID string
	path      string // as the client wrote it
	start     time.Time
	w         middleware.WrapResponseWriter
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

func withExchange(r *http.Request, x *exchange) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
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
