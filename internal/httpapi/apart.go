package httpapi

import (
	"net/http"
	"runtime/debug"
)

// opening is the part of a handler that comes before a long wait: it reads the request and makes the job.
type opening func(w http.ResponseWriter, r *http.Request) (rest, error)

// rest is the other part, which waits and answers; nil: the opening answered.
type rest func() error

// handleLong is handle for requests that wait. A goroutine's stack grows to what the deepest call needs, 32 KiB with JSON
// and Redis, and is kept while it waits: with thousands that is most of the memory. So whatever is deep runs apart, and
// the connection's own goroutine, which waits, stays at 8 KiB. Nor does the opening's frame, with the request in it, stay.
func (s *Server) handleLong(open opening) http.HandlerFunc {
	return s.handle(func(w http.ResponseWriter, r *http.Request) error {
		var wait rest
		err := s.apart(func() (err error) {
			wait, err = open(w, r)
			return err
		})
		if err != nil || wait == nil {
			return err
		}
		return wait()
	})
}

// apart calls f on another goroutine. A panic of f is one of the caller's.
func (s *Server) apart(f func() error) error {
	var err error
	var panicked any
	s.hands.Run(func() {
		defer func() {
			if v := recover(); v != nil {
				panicked = passOn(v)
			}
		}()
		err = f()
	})
	if panicked != nil {
		panic(panicked)
	}
	return err
}

// panicApart is a panic that happened on another goroutine, and where.
type panicApart struct {
	value any
	stack []byte
}

// passOn returns what to panic with on the caller's goroutine.
func passOn(v any) any {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares by identity too
		return v
	}
	return panicApart{v, debug.Stack()}
}
