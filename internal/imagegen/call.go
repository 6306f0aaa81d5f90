package imagegen

import (
	"encoding/json"
	"time"
)

// Outcome says how one call to the upstream ended, in the words of the metric zimage_upstream_attempts_total.
type Outcome string

// The outcomes of a call.
const (
	OutcomeOK          Outcome = "ok"
	OutcomeRefused     Outcome = "refused"      // the upstream refused this request for good
	OutcomeAuth        Outcome = "auth"         // the upstream refused our key
	OutcomeQuota       Outcome = "quota"        // our account is out of points
	OutcomeRateLimited Outcome = "rate_limited" // 429, or a text that says busy
	OutcomeTimeout     Outcome = "timeout"
	OutcomeNetwork     Outcome = "network"
	OutcomeStatus      Outcome = "status"    // another HTTP status worth a retry
	OutcomeMalformed   Outcome = "malformed" // an answer that cannot be read
	OutcomeCancelled   Outcome = "cancelled" // we stopped the call
)

// Billed says whether a call was or may have been paid for.
type Billed string

// What is known of a call's price.
const (
	BilledYes     Billed = "yes"     // the picture came
	BilledNo      Billed = "no"      // nothing was sent, or the upstream declined
	BilledUnknown Billed = "unknown" // it was sent, and no answer tells
)

// CallError is the failure of one call to an upstream, classified by the adapter that knows the protocol.
type CallError struct {
	Outcome   Outcome
	Billed    Billed
	Transient bool // another attempt may succeed
	// NotUpstream says that the failure is not the upstream's, and says nothing of it: the picture to edit could not be had.
	NotUpstream bool
	// Doubtful says that the refusal of our account was read out of its words alone, not out of a status or a code: the
	// request may have brought them about.
	Doubtful bool
	// RetryAfter is the pause the upstream asked for; zero: none.
	RetryAfter time.Duration
	Kind       Kind   // what the client is told once no attempt is left
	Message    string // for the client; scrubbed
	Err        error  // for the operator
}

// Error returns the operator's view of the failure.
func (e *CallError) Error() string {
	s := string(e.Outcome) + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the operator's cause.
func (e *CallError) Unwrap() error { return e.Err }

// Elsewhere reports whether another upstream may draw what this one refused: it refused for reasons of its own (our account,
// a model that is not there, a kind of call it does not serve), not for the request's.
func (e *CallError) Elsewhere() bool {
	return e.Kind == KindUpstreamAccount || e.Kind == KindUpstreamUnavailable
}

// Order is what an upstream is asked for: one picture.
type Order struct {
	Model          string // the catalogue's id
	ModelIndex     int
	Prompt         string
	NegativePrompt *string
	Width, Height  int // pixels
	Steps          int
	CFG            float64
	Seed           uint32
	Source         string // URL of the picture to edit; empty: draw from nothing
	SourceFile     string // its name in the image store; empty: it is elsewhere
	// Extra holds fields that go into the request as they are: JSON by name. None has the name of a field above.
	Extra map[string]json.RawMessage
	// Progress, if set, is told how much of the picture is done, from 0 to 1. It returns at once, and is called by one
	// goroutine at a time, before Generate returns.
	Progress func(done float64)
}

// Drawing is what an upstream made of an order: a picture, at a URL or in Data.
type Drawing struct {
	URL  string // absolute http(s); empty: the picture is in Data
	Data []byte // of a known image type, at most 32 MiB
	// Seed, Width and Height are those the picture was drawn with.
	Seed          uint32
	Width, Height int
	RevisedPrompt string // what was made of the prompt; empty: nothing was said of it
	// PointsUsed and PointsLeft are what the upstream says of our account; nil: nothing.
	PointsUsed, PointsLeft *float64
}

// Order returns the order for picture i of the spec, 0 ≤ i < N.
func (s Spec) Order(i int) Order {
	return Order{
		Model: s.Model, ModelIndex: s.ModelIndex,
		Prompt: s.Prompt, NegativePrompt: s.NegativePrompt,
		Width: s.Width, Height: s.Height, Steps: s.Steps, CFG: s.CFG, Seed: s.Seeds[i],
		Source: s.Source, SourceFile: s.SourceFile, Extra: s.Extra,
	}
}
