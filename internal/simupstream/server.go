package simupstream

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// GeneratePath is where the server takes generate calls.
const GeneratePath = "/api/v1/generate_image"

// Config shapes a server. Its zero value answers at once, takes any key and never fails.
type Config struct {
	APIKey    string // the only key that is taken; empty: any, and none
	PublicURL string // base of the picture links; empty: the address that the call came to
	// Latency is how long a generate call takes, give or take up to Jitter.
	Latency, Jitter time.Duration
	// FailureRate is the share of calls, 0 to 1, that fail in one of the ways the real service has. Which ones do is
	// settled by Seed and the call's number.
	FailureRate float64
	Seed        uint64
	// Behave decides call by call, and FailureRate only where it returns the zero Behaviour. It is called when the call
	// has been read, from many goroutines at once.
	Behave func(Request) Behaviour
	// KeepRequests is how many of the latest calls Requests returns; zero: 1000.
	KeepRequests int
}

// Server is the simulated service, an [http.Handler]. It is safe for concurrent use.
type Server struct {
	*traffic

	config  Config
	mux     *http.ServeMux
	drawing chan struct{} // a token for each picture being drawn
	closed  chan struct{}
	close   sync.Once
}

// New returns a server.
func New(c Config) *Server {
	s := &Server{
		traffic: newTraffic(c.KeepRequests), config: c, mux: http.NewServeMux(),
		drawing: make(chan struct{}, runtime.GOMAXPROCS(0)), closed: make(chan struct{}),
	}
	s.mux.HandleFunc("POST "+GeneratePath, s.generate)
	s.mux.HandleFunc("GET /images/{name}", s.picture)
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close ends every pause and every hanging call, now and from here on, so that an HTTP server around this one can stop.
func (s *Server) Close() { s.close.Do(func() { close(s.closed) }) }

// pause waits, and reports false if the client has gone or the server was closed meanwhile.
func (s *Server) pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return r.Context().Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closed:
	}
	return false
}

func (s *Server) authorized(r *http.Request) bool {
	want := "Bearer " + s.config.APIKey
	return s.config.APIKey == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) == 1
}

// writeJSON sends v. An error means that the client is gone, and there is nobody to tell.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// failure is the protocol's way to decline.
type failure struct {
	Success bool   `json:"success"`
	Error   string `json:"error"`
}
