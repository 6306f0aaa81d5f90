package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// handler answers a request, or returns why it did not.
type handler func(w http.ResponseWriter, r *http.Request) error

func (s *Server) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// errClientGone says that the reply could not be written.
var errClientGone = errors.New("client is gone")

// fail answers a request with a failure. Where a reply has begun, it only notes it.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r)
	if gone(r, err) {
		x.status = statusClientGone
		if x.w.Status() == 0 {
			panic(http.ErrAbortHandler) // or the server would end the request with an empty 200
		}
		return
	}
	x.err = imagegen.AsError(err)
	if x.w.Status() != 0 {
		return
	}
	h := w.Header()
	class := openai.ClassOf(x.err.Kind)
	setRetryHeaders(h, class.Status, x.err.RetryAfter)
	if x.jobID != "" && isPromise(x.err) {
		h.Set("Location", jobPath(x.jobID))
	}
	if x.err.Kind == imagegen.KindInvalidAPIKey {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if err := writeJSON(w, class.Status, openai.NewErrorReply(x.err, x.requestID)); err != nil {
		x.status = statusClientGone
	}
}

// gone reports whether the client is. A server that stops cancels with a cause of its own, which is answered.
func gone(r *http.Request, err error) bool {
	return errors.Is(err, errClientGone) || errors.Is(context.Cause(r.Context()), context.Canceled)
}

const (
	// Official SDKs ignore a Retry-After beyond a minute, and some then retry at once.
	maxRetryAfter     = time.Minute
	defaultRetryAfter = 2 * time.Second
)

// setRetryHeaders says whether and when to try again. A 502 has its retries behind it: the worker made them.
func setRetryHeaders(h http.Header, status int, after time.Duration) {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("X-Should-Retry", "true")
		if after <= 0 {
			after = defaultRetryAfter
		}
		seconds := retryAfter(h, after)
		h.Set("Retry-After-Ms", strconv.FormatInt(seconds*1000, 10))
	case http.StatusGatewayTimeout:
		h.Set("X-Should-Retry", "true")
	case http.StatusBadGateway:
		h.Set("X-Should-Retry", "false")
	}
}

// retryAfter sets Retry-After to d in whole seconds, 1 to 60, and returns them.
func retryAfter(h http.Header, d time.Duration) int64 {
	seconds := int64((min(max(d, time.Second), maxRetryAfter) + time.Second - 1) / time.Second)
	h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	return seconds
}

// setRate says how much of a key's rate is left, in the headers and units of OpenAI's API; nil says nothing.
func setRate(h http.Header, rate *job.Rate) {
	if rate == nil {
		return
	}
	h.Set("X-Ratelimit-Limit-Requests", strconv.Itoa(rate.Limit))
	h.Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(rate.Remaining))
	h.Set("X-Ratelimit-Reset-Requests", rate.Reset.Round(time.Millisecond).String())
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := openai.Encode(v)
	if err != nil {
		return err
	}
	h := w.Header()
	setJSON(h)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	allowTime(w, len(b))
	_, err = w.Write(b) //nolint:gosec // G705: it is JSON, and says so
	if err == nil {
		// Not left to net/http: it would write the header on the connection's own goroutine, whose stack that doubles for good.
		err = http.NewResponseController(innermost(w)).Flush() // chi's would not tell
	}
	if err != nil {
		return errors.Join(errClientGone, err)
	}
	return nil
}

// innermost returns net/http's writer.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = outer.Unwrap()
	}
}

func setJSON(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff") // errors repeat a client's words
}
