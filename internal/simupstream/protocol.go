package simupstream

import (
	"net/http"
	"time"
)

// protocol is one of the ways in which the server can be called. What they share is in serve: counting, latency, faults.
type protocol struct {
	maxBody    int64                                        // of a call, in bytes
	parse      func(req *Request, r *http.Request)          // puts what Raw says into Body, and the picture to edit into Picture
	authorized func(s *Server, r *http.Request) bool        // tells whether the call has the server's key
	complaint  func(req Request) string                     // is what the service has against a call, or empty
	failure    func(status int, message string) (reply any) // is the body of a refusal
	answer     func(s *Server, r *http.Request, req Request) (reply any, err error)
}

// serve takes the calls of a protocol.
func (s *Server) serve(p protocol) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		decline := func(status int, message string) { writeJSON(w, status, p.failure(status, message)) }
		req, err := read(w, r, p)
		if err != nil {
			decline(http.StatusRequestEntityTooLarge, "the request body cannot be read, or is too long")
			return
		}
		s.enter(&req)
		defer s.leave()
		b := s.behaviour(req)
		defer s.pace.begin(req.Path, time.Now(), b.Latency)()
		if !s.pause(r, b.Latency) {
			panic(http.ErrAbortHandler)
		}
		if s.scripted(w, r, b, decline) {
			return
		}
		if !p.authorized(s, r) {
			decline(http.StatusUnauthorized, "invalid API key")
			return
		}
		if complaint := p.complaint(req); complaint != "" {
			decline(http.StatusBadRequest, complaint)
			return
		}
		reply, err := p.answer(s, r, req)
		if err != nil { // the client left while its picture waited for a processor
			panic(http.ErrAbortHandler)
		}
		writeJSON(w, http.StatusOK, reply)
	}
}
