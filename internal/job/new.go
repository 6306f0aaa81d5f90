package job

import (
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// New is a job to be made.
type New struct {
	Owner string // a digest of the client's key
	Spec  imagegen.Spec
	Class Class
	ID    ID // empty: a new one is made
	Wish
	Claim  Claim
	Limits Limits
	// WaitFor is how long the caller stays on the line at most; 0: it does not, so the job goes on without it.
	WaitFor time.Duration
}

// Wish is what a client said of a job beside what to draw. It is kept with the job.
type Wish struct {
	Metadata   map[string]string `json:"metadata,omitempty"`    // the client's own words
	Background bool              `json:"background,omitempty"`  // a response that its caller polls
	WebhookURL string            `json:"webhook_url,omitempty"` // who is told of the end; empty: nobody
	// BaseURL is what links to stored pictures begin with, without a slash at the end: the public one of the request.
	BaseURL string `json:"base_url,omitempty"`
}

// Claim says which requests are one and the same, so that they get one job. Its zero value claims nothing.
type Claim struct {
	Mode ClaimMode
	// Key names the request: for ClaimByKey by client key, path and idempotency key; else by client key, path and body.
	Key string
	// Body is a digest of the request's body.
	Body string
}

// ClaimMode says what a request does where another one claimed the same before.
type ClaimMode string

// The modes.
const (
	ClaimNothing ClaimMode = "none"
	ClaimFirst   ClaimMode = "first" // makes a job of its own, which later tries of the request may join
	ClaimRetry   ClaimMode = "retry" // joins the newest job of the request, unless it was cancelled
	ClaimByKey   ClaimMode = "key"   // joins the job of the idempotency key, whatever became of it
)

// Limits are those of a client key. Zero fields limit nothing.
type Limits struct {
	RPM          int // requests a minute
	MaxPending   int // pictures that may wait
	ImagesPerDay int // pictures a UTC day
}

// Submission is what came of a request for a job.
type Submission struct {
	Job Job
	// Joined says that an earlier request made the job.
	Joined bool
	// Token names the caller on the job's line; empty where it is on none.
	Token string
	// Rate is what the request left of its key's rate; nil where there is no limit, or none was asked.
	Rate *Rate
}

// Rate is the state of a client key's rate limit.
type Rate struct {
	Limit, Remaining int           // requests a minute
	Reset            time.Duration // until all of Limit is there again
}
