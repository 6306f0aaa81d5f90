package imagegen

import (
	"errors"
	"time"
)

// Kind classifies a failure. The list is closed: package openai maps every kind to an HTTP status, type and code in one
// switch, and nothing else does. Kinds are stored in Redis by name, so a name never changes its meaning.
type Kind string

// The kinds of failure a caller can meet.
const (
	KindInternal         Kind = "internal"               // a bug; the caller is told nothing but the request id
	KindInvalidJSON      Kind = "invalid_json"           // the body is not the JSON object it should be
	KindMissingParameter Kind = "missing_parameter"      // Param is required
	KindInvalidValue     Kind = "invalid_value"          // Param has a value that can never work
	KindUpstreamRejected Kind = "upstream_rejected"      // the upstream refused this request for good
	KindContentPolicy    Kind = "content_policy"         // the upstream refused what the prompt, or its picture, shows
	KindInvalidAPIKey    Kind = "invalid_api_key"        // no client key, or a wrong one
	KindModelNotAllowed  Kind = "model_not_allowed"      // the client key is not for this model
	KindModelNotFound    Kind = "model_not_found"        // no such model in the catalogue
	KindJobNotFound      Kind = "job_not_found"          // no such job, or another key's
	KindJobCancelled     Kind = "job_cancelled"          // the job that the caller waited for was cancelled
	KindUnknownURL       Kind = "unknown_url"            // no such path
	KindMethodNotAllowed Kind = "method_not_allowed"     // the path exists, the method does not
	KindRequestTooLarge  Kind = "request_too_large"      // the body is over the limit
	KindKeyReused        Kind = "idempotency_key_reused" // the idempotency key came with another body before
	KindRateLimited      Kind = "rate_limited"           // the client key has no more calls, or waiting pictures, at the moment
	KindQuota            Kind = "quota_exceeded"         // the client key has no more pictures today
	KindUpstreamError    Kind = "upstream_error"         // every attempt failed
	KindUpstreamTimeout  Kind = "upstream_timeout"       // every attempt failed, the last one by timeout
	KindUpstreamAccount  Kind = "upstream_unavailable"   // the upstream refuses our account: credentials or quota
	// KindUpstreamUnavailable is a refusal for reasons of the upstream's own: it has no such model, or does not serve this
	// kind of call.
	KindUpstreamUnavailable Kind = "upstream_lacks_model"
	KindUpstreamAmbiguous   Kind = "upstream_outcome_unknown"
	KindQueueFull           Kind = "queue_full"         // too many pictures wait already, whoever's they are
	KindQueueUnavailable    Kind = "queue_unavailable"  // Redis did not answer in time
	KindShuttingDown        Kind = "shutting_down"      // this process is stopping
	KindGenerationTimeout   Kind = "generation_timeout" // the caller waited as long as it may; the job goes on
)

// Error is a classified failure.
type Error struct {
	Kind    Kind
	Param   string // the request field at fault, or empty
	Message string // for the caller: what to do; holds no secret, address or stack
	// RetryAfter is how long the caller should wait before it tries again; zero: not said.
	RetryAfter time.Duration
	Err        error // for the operator; never leaves the process
}

// Error returns the caller's message followed by the operator's cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return string(e.Kind) + ": " + e.Message + ": " + e.Err.Error()
	}
	return string(e.Kind) + ": " + e.Message
}

// Unwrap returns the operator's cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError returns the classified failure in err's chain, or a KindInternal one that wraps err.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: KindInternal, Message: "internal error", Err: err}
}
