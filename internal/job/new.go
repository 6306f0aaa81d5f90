package job

import "github.com/zimage-gateway/zimage-gateway/internal/imagegen"

// Lane is a class of waiting work. Lanes share the upstream; an earlier one is served more often.
type Lane string

// The lanes, in order of service.
const (
	LaneInteractive Lane = "interactive" // somebody is on the line
	LaneBatch       Lane = "batch"
)

// Lanes lists all lanes, the one served most often first.
func Lanes() []Lane { return []Lane{LaneInteractive, LaneBatch} }

// New is a job to be made.
type New struct {
	Owner string // a digest of the client's key
	Spec  imagegen.Spec
	Lane  Lane
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
