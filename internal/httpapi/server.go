package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/zimage-gateway/zimage-gateway/internal/hands"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// Jobs is the job service as the handlers need it. Its methods are safe for concurrent use.
type Jobs interface {
	// Submit records the job and queues its pictures, or joins the one that the request stands for. Its error is a
	// classified *imagegen.Error; the rate may be there beside it.
	Submit(ctx context.Context, n job.New) (job.Submission, error)
	// Get reads a job; another owner's is KindJobNotFound.
	Get(ctx context.Context, owner string, id job.ID) (job.Job, error)
	// Wait blocks until the job is terminal or ctx ends (then its error is context.Cause(ctx)).
	Wait(ctx context.Context, owner string, id job.ID, beat job.Beat) (*job.Job, error)
	// Follow calls tell with the job as it is, unless that is the version seen, and after each change until it is terminal.
	Follow(ctx context.Context, owner string, id job.ID, seen int64, beat job.Beat, tell func(job.Job) error) error
	// Join puts a caller on the line of its own job for at most d, so that it is not dropped meanwhile.
	Join(ctx context.Context, owner string, id job.ID, d time.Duration) (token string, err error)
	// Leave takes a caller off the line that does not wait any more.
	Leave(ctx context.Context, id job.ID, token string)
	// Keep takes a caller off the line that was promised that the job goes on.
	Keep(ctx context.Context, id job.ID, token string) error
	// Cancel ends a job that is not terminal yet, and returns it as it is then.
	Cancel(ctx context.Context, owner string, id job.ID) (job.Job, error)
	// Delete cancels a job that is not terminal yet, and forgets it.
	Delete(ctx context.Context, owner string, id job.ID) error
	// List returns an owner's jobs, newest first, and whether there are more.
	List(ctx context.Context, owner string, q job.ListQuery) (jobs []job.Job, more bool, err error)
	// Outlook estimates for each job when it will be done.
	Outlook(ctx context.Context, jobs ...job.Job) ([]job.Outlook, error)
}

// Metrics is told of every finished request. Its methods are safe for concurrent use and do not block.
type Metrics interface {
	// RequestDone counts a request. Routes are patterns and methods known ones, so both are small sets.
	RequestDone(route, method string, status int, d time.Duration)
	// PictureFetched counts a picture that was fetched for a reply that holds its bytes, or could not be.
	PictureFetched(ok bool, d time.Duration)
	// HousekeepingAnswered counts a client's own prompt that was answered with text.
	HousekeepingAnswered()
}

// Pictures fetches finished pictures from where upstreams put them. It is safe for concurrent use.
type Pictures interface {
	Fetch(ctx context.Context, rawURL string) (picture.Picture, error)
}

// Files keeps the pictures that clients upload and that workers stored. It is safe for concurrent use.
type Files interface {
	// Put keeps a picture as long as the job.
	Put(ctx context.Context, name, jobID string, p picture.Picture) error
	// Delete deletes a job's pictures.
	Delete(ctx context.Context, jobID string) error
	// Open reads a picture; imagestore.ErrNotFound where there is none of that name.
	Open(ctx context.Context, name string) (*imagestore.File, error)
}

// Config is what a server is made of.
type Config struct {
	Jobs     Jobs
	Catalog  *imagegen.Catalog
	Keys     []Key // at least one
	Logger   *slog.Logger
	Metrics  Metrics // nil: none
	Pictures Pictures
	Files    Files // nil: nothing is stored, and uploads are refused
	// RefuseUploads refuses the pictures that requests bring along. Those that are drawn are served nevertheless.
	RefuseUploads bool
	// CheckWebhookFunc returns why a client's server may not be told at that URL, in words for the client; nil: webhooks are
	// off.
	CheckWebhookFunc func(rawURL string) error
	// MaxBodyBytes bounds request bodies; 0: 25 MiB.
	MaxBodyBytes int64
	// SyncTimeout is the longest wait of a synchronous call, streams included; 0: 5 minutes.
	SyncTimeout time.Duration
	// StreamKeepalive is the pause after which a waiting stream sends a comment; 0: 10 seconds.
	StreamKeepalive time.Duration
	// SyncKeepalive is how long a plain call waits before it is kept alive; 0: it is not.
	SyncKeepalive time.Duration
	// DrawHousekeeping draws the prompts that clients send of their own, such as for titles, like any other.
	DrawHousekeeping bool
	CORSOrigins      []string // none: all
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
	jobs         Jobs
	catalog      *imagegen.Catalog
	keys         keyring
	log          *slog.Logger
	metrics      Metrics
	maxBody      int64
	patience     time.Duration
	pause        time.Duration // between signs of life on a stream
	trust        bool
	pictures     Pictures
	files        Files
	uploads      bool
	converter    *picture.Converter
	checkWebhook func(rawURL string) error
	keepalive    time.Duration
	housekeeping bool
	gate         *gate
	draining     atomic.Bool // no new request will be taken
	landing      landingPage
	hands        *hands.Hands
	mux          *chi.Mux
}

// New returns a server.
func New(c Config) (*Server, error) {
	if c.Jobs == nil || c.Catalog == nil || c.Logger == nil || c.Pictures == nil {
		return nil, errors.New("jobs, catalog, logger and pictures are required")
	}
	keys, err := newKeyring(c.Keys, c.Catalog)
	if err != nil {
		return nil, err
	}
	s := &Server{
		jobs: c.Jobs, catalog: c.Catalog, keys: keys, log: c.Logger, metrics: c.Metrics,
		maxBody: c.MaxBodyBytes, patience: c.SyncTimeout, pause: c.StreamKeepalive, trust: c.TrustProxyHeaders,
		pictures: c.Pictures, files: c.Files, uploads: c.Files != nil && !c.RefuseUploads, converter: picture.NewConverter(), hands: hands.New(),
		checkWebhook: c.CheckWebhookFunc, keepalive: c.SyncKeepalive, housekeeping: !c.DrawHousekeeping, gate: newGate(submitters),
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

const (
	chatPath        = "/v1/chat/completions"
	generationsPath = "/v1/images/generations"
	editsPath       = "/v1/images/edits"
	responsesPath   = "/v1/responses"
)

// rounds are the paths whose GET is there for calls that were sent round while they wait.
var rounds = []string{chatPath, generationsPath, editsPath, responsesPath}

// Close ends what runs beside the requests. It is called once, after the last of them.
func (s *Server) Close() { s.hands.Close() }

// Drain says that the listener takes no new requests: who waits is not sent round any more.
func (s *Server) Drain() { s.draining.Store(true) }

func (s *Server) routes(origins []string) *chi.Mux {
	m := chi.NewRouter()
	// None of these may do anything after a handler but the first: see serve.
	m.Use(route, cors(origins), preflight, middleware.GetHead)
	m.Get("/", s.handle(s.getLanding))
	m.Get("/healthz", s.handle(s.getHealth))
	m.Get("/openapi.json", s.handle(s.getOpenAPI))
	m.Get(filesPath+"{name}", s.handle(s.getFile))
	m.Group(func(m chi.Router) {
		m.Use(s.authenticate, s.limitBody)
		m.Get("/v1/models", s.handle(s.listModels))
		// A wildcard, as some clients do not escape the slash in an id like owner/model.
		m.Get("/v1/models/*", s.handle(s.getModel))
		m.Post(chatPath, s.handleLong(s.chat))
		m.Get(chatPath, s.handleLong(s.resume(s.renderChat)))
		m.Post(generationsPath, s.handleLong(s.generateImages))
		m.Get(generationsPath, s.handleLong(s.resume(s.renderImages)))
		m.Post(editsPath, s.handleLong(s.editImages))
		m.Get(editsPath, s.handleLong(s.resume(s.renderImages)))
		m.Post(responsesPath, s.handleLong(s.createResponse))
		m.Get(responsesPath, s.handleLong(s.resume(s.renderResponse)))
		m.Get("/v1/responses/{id}", s.handleLong(s.getResponse))
		m.Post("/v1/responses/{id}/cancel", s.handle(s.cancelResponse))
		m.Post("/v1/jobs", s.handleLong(s.createJob))
		m.Get("/v1/jobs", s.handle(s.listJobs))
		m.Get("/v1/jobs/{id}", s.handleLong(s.getJob))
		m.Delete("/v1/jobs/{id}", s.handle(s.deleteJob))
		m.Get("/v1/jobs/{id}/events", s.handleLong(s.followJob))
		m.Post("/v1/jobs/{id}/cancel", s.handle(s.cancelJob))
	})
	// Who has no key is not told which paths exist.
	m.NotFound(s.authenticate(s.handle(s.notFound)).ServeHTTP)
	m.MethodNotAllowed(s.authenticate(s.handle(s.methodNotAllowed)).ServeHTTP)
	return m
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.serve(&exchange{start: time.Now(), w: middleware.NewWrapResponseWriter(w, r.ProtoMajor)}, r)
}
