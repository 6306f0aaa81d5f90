package simupstream

import (
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Fault is a way to fail beneath HTTP.
type Fault int

// The faults.
const (
	FaultNone  Fault = iota
	FaultHang        // nothing is ever answered; the call ends when the client goes away
	FaultReset       // the TCP connection is reset in place of an answer
	FaultCut         // it is reset in the middle of the answer's body
)

// Behaviour says how one call is answered. Its zero value is a picture.
type Behaviour struct {
	Latency time.Duration // before anything else; zero: the server's, negative: none
	Fault   Fault
	// Status and Body replace the answer where either is set. A zero status is 200. The body goes out as it is, as JSON
	// unless Header says otherwise.
	Status int
	Body   string
	// Refusal declines with this text in the words of the call's protocol, in place of Body. A zero status is 200.
	Refusal string
	Header  http.Header // added to the answer
}

func (b Behaviour) isZero() bool {
	return b.Latency == 0 && b.Fault == FaultNone && b.Status == 0 && b.Body == "" && b.Refusal == "" && len(b.Header) == 0
}

// Decline returns the behaviour that refuses a call in the words of its protocol.
func Decline(status int, message string) Behaviour {
	return Behaviour{Status: status, Refusal: message}
}

// wild is what the real service has been seen to do.
var wild = []Behaviour{
	Decline(http.StatusInternalServerError, "internal error"),
	Decline(http.StatusServiceUnavailable, "service unavailable"),
	Decline(http.StatusTooManyRequests, "too many requests"),
	Decline(http.StatusOK, "服务器繁忙，请稍后再试"),
	{Status: 522, Body: "<html><title>522: connection timed out</title></html>", Header: http.Header{"Content-Type": {"text/html"}}},
	{Status: http.StatusForbidden, Body: "<html><title>Just a moment...</title></html>", Header: http.Header{"Content-Type": {"text/html"}}},
	{Body: `{"success":true,"data":{}}`},
	{Status: http.StatusOK, Header: http.Header{"Content-Length": {"0"}}},
	{Fault: FaultReset},
	{Fault: FaultCut},
}

// behaviour settles how a call is answered, its latency included.
func (s *Server) behaviour(req Request) Behaviour {
	var b Behaviour
	if s.config.Behave != nil {
		b = s.config.Behave(req)
	}
	// By the call's number, so that the same calls fail whatever goroutine comes first.
	dice := rand.New(rand.NewPCG(s.config.Seed, uint64(req.Call))) //nolint:gosec // repeatable on purpose, and a number from 1
	if b.isZero() && dice.Float64() < s.config.FailureRate {
		b = wild[dice.IntN(len(wild))]
	}
	switch {
	case b.Latency < 0:
		b.Latency = 0
	case b.Latency == 0:
		b.Latency = s.config.Latency
		if s.config.Jitter > 0 {
			b.Latency += time.Duration((2*dice.Float64() - 1) * float64(s.config.Jitter))
		}
	}
	return b
}

// scripted answers as b says, and reports false if b leaves the answer to the protocol.
func (s *Server) scripted(w http.ResponseWriter, r *http.Request, b Behaviour, decline func(status int, message string)) bool {
	for name, values := range b.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	switch {
	case b.Fault == FaultHang:
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler) // no answer, not even an empty one
	case b.Fault == FaultReset:
		reset(w)
	case b.Fault == FaultCut:
		const start = `{"success":true,"data":{"image_url":"http`
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(2*len(start)))
		_, _ = w.Write([]byte(start))
		_ = http.NewResponseController(w).Flush()
		reset(w)
	case b.Refusal != "":
		decline(max(b.Status, http.StatusOK), b.Refusal)
	case b.Status != 0 || b.Body != "":
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(max(b.Status, http.StatusOK))
		_, _ = w.Write([]byte(b.Body))
	default:
		return false
	}
	return true
}

// reset ends the connection the hard way. Where there is no connection of the call's own (HTTP/2), the call is aborted.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	inner := conn
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		inner = over.NetConn()
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closing then sends RST in place of FIN
	}
	_ = inner.Close()
}
