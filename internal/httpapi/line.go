package httpapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// line is a caller's place on the line of a job. Its zero value is none.
type line struct {
	job   job.ID
	token string
}

// betweenRounds is how long a caller that is sent round keeps its place, which is until it is back.
const betweenRounds = 30 * time.Second

// join puts a caller that comes back on the line of its job, in the place that it had if it says so. Where that fails, as
// while Redis is away, it waits all the same.
func (s *Server) join(r *http.Request, id job.ID, token string, d time.Duration) string {
	joined, err := s.jobs.Join(r.Context(), exchangeOf(r).owner, id, token, d)
	if err != nil {
		return token
	}
	return joined
}

// part takes the caller off the line whose wait ended with err: it leaves, unless it is told that the job goes on, which it
// makes true, or is sent round, and comes back. After a job's end there is no line.
func (s *Server) part(r *http.Request, l line, err error) {
	switch {
	case err == nil || l.token == "":
	case errors.Is(err, errNextRound):
		s.join(r, l.job, l.token, betweenRounds)
	case !gone(r, err) && isPromise(err):
		// If it cannot be noted, the job is kept by this caller's place until its time is over.
		_ = s.jobs.Keep(r.Context(), l.job, l.token)
	default:
		s.jobs.Leave(r.Context(), l.job, l.token)
	}
}

// isPromise reports whether the failure that ended a wait says that the job goes on.
func isPromise(err error) bool {
	if errors.Is(err, errPollOver) {
		return true
	}
	switch imagegen.AsError(err).Kind { //nolint:exhaustive // of all others nobody is told so
	case imagegen.KindGenerationTimeout, imagegen.KindShuttingDown:
		return true
	}
	return false
}
