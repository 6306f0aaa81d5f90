package httpapi

import (
	"errors"
	"net/http"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// line is a caller's place on the line of a job. Its zero value is none.
type line struct {
	job   job.ID
	token string
}

// joinTries is how often a caller that comes back asks for its place, each time for as long as Redis may take to answer:
// without one its job may be dropped under it.
const joinTries = 3

// join puts a caller that comes back on the line of its job. Where that fails, as while Redis is away, it waits all the
// same: whoever would drop the job needs Redis too.
func (s *Server) join(r *http.Request, id job.ID) (token string) {
	for range joinTries {
		token, err := s.jobs.Join(r.Context(), exchangeOf(r).owner, id, s.patience)
		if err == nil {
			return token
		}
	}
	return ""
}

// part takes the caller off the line whose wait ended with err: it leaves, also when it is sent round, and is back in a
// moment; or makes true what it is told, that the job goes on. After a job's end there is no line.
func (s *Server) part(r *http.Request, l line, err error) {
	switch {
	case err == nil || l.token == "":
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
