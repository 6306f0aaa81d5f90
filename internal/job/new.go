package job

import "github.com/zimage-gateway/zimage-gateway/internal/imagegen"

// New is a job to be made.
type New struct {
	Owner string // a digest of the client's key
	Spec  imagegen.Spec
	Class Class
	ID    ID // empty: a new one is made
	Wish
	// Fingerprint names the request, key and path included; empty: nothing ever joins the job.
	Fingerprint string
	// Repeated says that this is the repetition of an earlier request of the same fingerprint, which may have made a job.
	Repeated bool
}

// Wish is what a client said of a job beside what to draw. It is kept with the job.
type Wish struct {
	Metadata   map[string]string `json:"metadata,omitempty"`   // the client's own words
	Background bool              `json:"background,omitempty"` // a response that its caller polls
}
