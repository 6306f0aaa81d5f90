// Package admin is the private HTTP surface of a process: metrics, health, profiles and the queue's dashboard.
//
// It asks nobody for a key, so it is served on a listener of its own that only the operator reaches. A web page that the
// operator has open elsewhere cannot act through it: requests that change something are refused across origins.
package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof" // what it registers by itself is never served
	"time"
)

// readyTimeout bounds the checks behind /readyz; a probe that waits longer counts as failed with most orchestrators.
const readyTimeout = 2 * time.Second

// Config is what the surface shows.
type Config struct {
	// Metrics serves /metrics.
	Metrics http.Handler
	// Ready runs the checks of /readyz, within the context's deadline. Nil: always ready.
	Ready func(ctx context.Context) []Check
	// Queues serves /queues/; nil where there is no dashboard.
	Queues http.Handler
	// Version is told by /healthz and /readyz.
	Version string
}

// Check is one thing that readiness depends on. With neither Err nor Warning it is all right.
type Check struct {
	Name string
	// Err makes the process not ready.
	Err error
	// Warning is something the operator should know and that does not stop the process.
	Warning string
}

// New returns the handler of the admin listener.
func New(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", c.Metrics)
	mux.HandleFunc("GET /healthz", c.healthz)
	mux.HandleFunc("GET /readyz", c.readyz)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.Handle("/debug/pprof/block", onDemand("block", noteBlocking))
	mux.Handle("/debug/pprof/mutex", onDemand("mutex", noteMutexes))
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	if c.Queues != nil {
		mux.Handle(queuesPath, c.Queues)
		mux.Handle(queuesPath+"/", c.Queues)
	}
	mux.HandleFunc("/", notFound)
	protect := http.NewCrossOriginProtection()
	protect.SetDenyHandler(http.HandlerFunc(crossOrigin))
	return protect.Handler(mux)
}

// health is the body of /healthz and /readyz.
type health struct {
	Status  string        `json:"status"`
	Version string        `json:"version"`
	Checks  []checkResult `json:"checks,omitempty"`
}

type checkResult struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// healthz says that the process runs and answers, no more.
func (c Config) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, health{Status: "ok", Version: c.Version})
}

// readyz says whether the process can do its work now.
func (c Config) readyz(w http.ResponseWriter, r *http.Request) {
	h, status := health{Status: "ready", Version: c.Version}, http.StatusOK
	if c.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		for _, check := range c.Ready(ctx) {
			result := checkResult{Name: check.Name, Status: "ok"}
			switch {
			case check.Err != nil:
				result.Status, result.Message = "failed", check.Err.Error()
				h.Status, status = "not_ready", http.StatusServiceUnavailable
			case check.Warning != "":
				result.Status, result.Message = "warning", check.Warning
			}
			h.Checks = append(h.Checks, result)
		}
	}
	writeJSON(w, status, h)
}

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, errorBody{errorDetail{
		Message: "nothing is served here; the admin listener has /metrics, /healthz, /readyz, /debug/pprof/ and, on the api, /queues/",
		Type:    "invalid_request_error", Code: "unknown_url",
	}})
}

func crossOrigin(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusForbidden, errorBody{errorDetail{
		Message: "a page of another origin cannot change anything here", Type: "invalid_request_error", Code: "cross_origin",
	}})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // it fails where the client is gone
}
