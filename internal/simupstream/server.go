package simupstream

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
)

// GeneratePath is where the server takes calls of the native protocol.
const GeneratePath = "/api/v1/generate_image"

// Config shapes a server. Its zero value answers at once, takes any key and never fails.
type Config struct {
	APIKey    string // the only key that is taken, whatever the protocol; empty: any, and none
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

	pace    pace
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
	for path, p := range map[string]protocol{
		GeneratePath: exacg, GenerationsPath: openAI, EditsPath: openAI, Txt2ImgPath: sdWebUI, Img2ImgPath: sdWebUI,
	} {
		s.mux.HandleFunc("POST "+path, s.serve(p))
	}
	s.mux.HandleFunc("GET "+ProgressPath, s.progress)
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

func (s *Server) hasBearer(r *http.Request) bool {
	key, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return s.config.APIKey == "" || isBearer && s.isKey(key)
}

func (s *Server) hasBasic(r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	return s.isKey(password) || s.isKey(user+":"+password)
}

func (s *Server) isKey(key string) bool {
	return s.config.APIKey == "" || subtle.ConstantTimeCompare([]byte(key), []byte(s.config.APIKey)) == 1
}

// writeJSON sends v. An error means that the client is gone, and there is nobody to tell.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
