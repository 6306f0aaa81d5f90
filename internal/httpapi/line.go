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

// join puts a caller that comes round on the line again. Where that fails, as while Redis is away, it waits all the same.
func (s *Server) join(r *http.Request, id job.ID) (token string) {
	token, err := s.jobs.Join(r.Context(), id, s.patience)
	if err != nil {
		return ""
	}
	return token
}

// part takes the caller off the line whose wait ended with err: one that is gone or was sent round leaves it, one that is
// told that the job goes on makes that true. After a job's end there is no line.
func (s *Server) part(r *http.Request, l line, err error) {
	switch {
	case err == nil || l.token == "":
	case gone(r, err), errors.Is(err, errNextRound):
		s.jobs.Leave(r.Context(), l.job, l.token)
	case isPromise(err):
		// If it cannot be noted, the job is kept by this caller's place until its time is over.
		_ = s.jobs.Keep(r.Context(), l.job, l.token)
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
