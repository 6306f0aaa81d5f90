package httpapi

import (
	"net/http"
	"runtime/debug"
)

// part is a part of a handler: it answers the request, or returns why it did not, or what there is to wait for first.
type part func() (rest, error)

// rest is what is left of a handler after a part of it. The zero rest is nothing: the request was answered.
type rest struct {
	wait func() // may block for long, and is not deep but where there is a stream to be written
	then part
}

// opening is the first part of a handler that waits. The rest of it may not ask for the request's route, nor for what stood
// in its path: the router has taken that back.
type opening func(w http.ResponseWriter, r *http.Request) (rest, error)

// handleLong is handle for requests that wait: what is left of them is left in the exchange.
func (s *Server) handleLong(open opening) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.proceed(w, r, func() (rest, error) { return open(w, r) })
	}
}

// proceed runs a part and notes what is left after it.
func (s *Server) proceed(w http.ResponseWriter, r *http.Request, p part) {
	left, err := p()
	switch {
	case err != nil:
		s.fail(w, r, err)
	case left.wait != nil:
		x := exchangeOf(r)
		x.wait, x.then = left.wait, func() { s.proceed(w, r, left.then) }
	}
}

// serve answers a request part by part. A goroutine's stack grows to what the deepest call needs, 32 KiB with JSON and
// Redis, and is kept while it waits: with thousands that is most of the memory. So whatever is deep runs apart, on a
// goroutine that then does the same for others. The connection's own, which waits, keeps the stack that it began with:
// between net/http and the wait there is neither middleware nor router. Nor does a part's frame, with the request's body
// in it, stay.
func (s *Server) serve(x *exchange, r *http.Request) {
	s.apart(x, func() { //nolint:contextcheck // the exchange has the request
		x.begin(r)
		s.mux.ServeHTTP(x.w, x.r)
	})
	for x.wait != nil {
		broken := calmly(x.wait)
		then := x.then
		x.wait, x.then = nil, nil
		s.apart(x, func() { //nolint:contextcheck // as above
			if broken != nil {
				panic(broken)
			}
			then()
		})
	}
}

// apart runs a part on another goroutine. Once nothing is left of the request, it has its line in the log and is counted.
func (s *Server) apart(x *exchange, f func()) {
	s.hands.Run(func() {
		defer func() { // deferred for the sake of http.ErrAbortHandler
			if x.wait == nil {
				s.report(x)
			}
		}()
		defer s.catch(x)
		f()
	})
}

// brokenWait is a panic that happened while a request waited, and where.
type brokenWait struct {
	value any
	stack []byte
}

// calmly waits, and returns the panic in which that ended; nil: in none.
func calmly(wait func()) (broken *brokenWait) {
	defer func() {
		if v := recover(); v != nil {
			broken = &brokenWait{v, debug.Stack()}
		}
	}()
	wait()
	return nil
}
