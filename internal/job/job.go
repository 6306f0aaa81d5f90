package job

import (
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// ID names a job. It is made by [NewID] and cannot be guessed.
type ID string

// Status is a job's state. A terminal one never changes.
type Status string

// The states of a job.
const (
	StatusQueued     Status = "queued"
	StatusInProgress Status = "in_progress"
	StatusCompleted  Status = "completed"
	StatusFailed     Status = "failed"
	StatusCancelled  Status = "cancelled"
)

// Statuses lists all states.
func Statuses() []Status {
	return []Status{StatusQueued, StatusInProgress, StatusCompleted, StatusFailed, StatusCancelled}
}

// Terminal reports whether the state is final.
func (s Status) Terminal() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// Job is one request for n pictures, as its record tells it.
type Job struct {
	ID     ID
	Status Status
	Owner  string // who may see it: a digest of the client's key, never the key
	Class  Class
	Spec   imagegen.Spec
	Wish
	CreatedAt time.Time
	// StartedAt, CompletedAt and ExpiresAt are zero until they have happened or are known.
	StartedAt, CompletedAt, ExpiresAt time.Time
	Version                           int64 // grows with every change
	Dropped                           bool  // cancelled as nobody waited for it any more
	Pictures                          []Picture
	Calls                             []Call // the ledger, by picture and attempt
}

// Picture is the state of one of a job's pictures: neither Image nor Error is set until it is final, then one is.
type Picture struct {
	Image    *imagegen.Image
	Error    *imagegen.Error // Kind, Param and Message only: causes do not cross Redis
	Attempts int             // calls made so far
	Progress float64         // of the call under way, 0 to 1; 0 where nothing is said
	// Generation and Queue name the task that carries the picture.
	Generation int64
	Queue      string
}

// Final reports whether the picture was drawn, or will not be.
func (p Picture) Final() bool { return p.Image != nil || p.Error != nil }

// task returns the task that carries picture i.
func (j Job) task(i int) Task {
	return Task{Job: j.ID, Image: i, Generation: j.Pictures[i].Generation, Queue: j.Pictures[i].Queue, Owner: j.Owner}
}

// CallOutcome is the ledger's word for how a call ended.
type CallOutcome string

// The ledger's outcomes.
const (
	CallOK        CallOutcome = "ok"
	CallRefused   CallOutcome = "refused" // the upstream answered and declined
	CallFailed    CallOutcome = "failed"  // nothing was sent
	CallUnknown   CallOutcome = "unknown" // sent, and no answer tells; also a call still under way
	CallCancelled CallOutcome = "cancelled"
)

// Call is one call to an upstream, kept so that anyone can see what was or may have been paid for.
type Call struct {
	Image     int
	Attempt   int // from 1
	Upstream  string
	StartedAt time.Time
	Duration  time.Duration
	Outcome   CallOutcome
	Billed    imagegen.Billed
}
