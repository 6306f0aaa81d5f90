package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Jobs is the job service as the handlers need it. Its methods are safe for concurrent use.
type Jobs interface {
	// Submit records the job and queues its pictures. Its error is a classified *imagegen.Error.
	Submit(ctx context.Context, n job.New) (job.Job, error)
	// Get reads a job; another owner's is KindJobNotFound.
	Get(ctx context.Context, owner string, id job.ID) (job.Job, error)
	// Wait blocks until the job is terminal or ctx ends (then its error is context.Cause(ctx)).
	Wait(ctx context.Context, owner string, id job.ID, beat job.Beat) (job.Job, error)
	// Position estimates how many pictures will start before the job's next one, itself included: 1 is next, 0 not
	// waiting.
	Position(ctx context.Context, j job.Job) (int, error)
}

// Metrics is told of every finished request. Its methods are safe for concurrent use and do not block.
type Metrics interface {
	// RequestDone counts a request. Routes are patterns and methods known ones, so both are small sets.
	RequestDone(route, method string, status int, d time.Duration)
}

// Config is what a server is made of.
type Config struct {
	Jobs    Jobs
	Catalog *imagegen.Catalog
	Keys    []string // that clients present; at least one
	Logger  *slog.Logger
	Metrics Metrics // nil: none
	// MaxBodyBytes bounds request bodies; 0: 25 MiB.
	MaxBodyBytes int64
	// SyncTimeout is the longest wait of a synchronous call, streams included; 0: 5 minutes.
	SyncTimeout time.Duration
	// StreamKeepalive is the pause after which a waiting stream sends a comment; 0: 10 seconds.
	StreamKeepalive time.Duration
	CORSOrigins     []string // none: all
	// TrustProxyHeaders takes scheme, host and client address from X-Forwarded-*.
	TrustProxyHeaders bool
	PublicURL         string // base of the URLs shown; empty: taken from the request
	Version           string
}

const (
	defaultMaxBodyBytes    = 25 << 20
	defaultSyncTimeout     = 5 * time.Minute
	defaultStreamKeepalive = 10 * time.Second
)

// Server answers the public listener. It is safe for concurrent use.
type Server struct {
	jobs     Jobs
	catalog  *imagegen.Catalog
	keys     keyring
	log      *slog.Logger
	metrics  Metrics
	maxBody  int64
	patience time.Duration
	pause    time.Duration // between signs of life on a stream
	trust    bool
	landing  landingPage
	mux      *chi.Mux
}

// New returns a server.
func New(c Config) (*Server, error) {
	keys, err := newKeyring(c.Keys)
	if err != nil {
		return nil, err
	}
	if c.Jobs == nil || c.Catalog == nil || c.Logger == nil {
		return nil, errors.New("jobs, catalog and logger are required")
	}
	s := &Server{
		jobs: c.Jobs, catalog: c.Catalog, keys: keys, log: c.Logger, metrics: c.Metrics,
		maxBody: c.MaxBodyBytes, patience: c.SyncTimeout, pause: c.StreamKeepalive, trust: c.TrustProxyHeaders,
		landing: landingPage{version: c.Version, publicURL: c.PublicURL, model: c.Catalog.Default().ID},
	}
	if s.maxBody <= 0 {
		s.maxBody = defaultMaxBodyBytes
	}
	if s.patience <= 0 {
		s.patience = defaultSyncTimeout
	}
	if s.pause <= 0 {
		s.pause = defaultStreamKeepalive
	}
	// A longer pause would also make the data that some front ends wait for come too late.
	s.pause = min(s.pause, maxSilence)
	s.mux = s.routes(c.CORSOrigins)
	return s, nil
}

func (s *Server) routes(origins []string) *chi.Mux {
	m := chi.NewRouter()
	// The log is outside of the recovery, so that a request that panicked has its line, and with it a 500.
	m.Use(s.record, s.recoverPanic, cors(origins), preflight, middleware.GetHead)
	m.Get("/", s.handle(s.getLanding))
	m.Get("/healthz", s.handle(s.getHealth))
	m.Group(func(m chi.Router) {
		m.Use(s.authenticate, s.limitBody)
		m.Get("/v1/models", s.handle(s.listModels))
		// A wildcard, as some clients do not escape the slash in an id like owner/model.
		m.Get("/v1/models/*", s.handle(s.getModel))
		m.Post("/v1/chat/completions", s.handle(s.chat))
		m.Post("/v1/images/generations", s.handle(s.images))
		m.Post("/v1/jobs", s.handle(s.createJob))
		m.Get("/v1/jobs/{id}", s.handle(s.getJob))
	})
	// Who has no key is not told which paths exist.
	m.NotFound(s.authenticate(s.handle(s.notFound)).ServeHTTP)
	m.MethodNotAllowed(s.authenticate(s.handle(s.methodNotAllowed)).ServeHTTP)
	return m
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		requestID: requestID(r),
		path:      r.URL.Path,
		start:     time.Now(),
		w:         middleware.NewWrapResponseWriter(w, r.ProtoMajor),
	}
	x.w.Header().Set("X-Request-Id", x.requestID)
	s.mux.ServeHTTP(x.w, withExchange(withCanonicalPath(r), x))
}
