package httpapi

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

const (
	// maxPoll is the longest a client may wait in one read of a job.
	maxPoll = time.Minute
	// positionTimeout bounds the look at the queue: a guess is not worth a wait.
	positionTimeout = time.Second
)

// errPollOver ends the wait of a poll.
var errPollOver = errors.New("the poll is over")

func jobPath(id job.ID) string { return "/v1/jobs/" + url.PathEscape(string(id)) }

func (s *Server) createJob(w http.ResponseWriter, r *http.Request) error {
	_, o, err := s.imagesRequest(r)
	if err != nil {
		return err
	}
	j, err := s.submit(w, r, o, job.ClassBatch)
	if err != nil {
		return err
	}
	w.Header().Set("Location", jobPath(j.ID))
	return s.writeJob(w, r, http.StatusAccepted, j)
}

func (s *Server) getJob(w http.ResponseWriter, r *http.Request) error {
	patience, err := pollTime(r.URL.Query().Get("wait"))
	if err != nil {
		return err
	}
	// An id that does not unescape is nobody's job.
	id, _ := url.PathUnescape(chi.URLParam(r, "id"))
	x := exchangeOf(r)
	j, err := s.jobs.Get(r.Context(), x.owner, job.ID(id))
	if err != nil {
		return err
	}
	x.hold(w, j.ID)
	if patience > 0 && !j.Status.Terminal() {
		ctx, cancel := context.WithTimeoutCause(r.Context(), patience, errPollOver)
		defer cancel()
		finished, err := s.jobs.Wait(ctx, x.owner, j.ID, job.Beat{})
		if errors.Is(err, errPollOver) {
			finished, err = s.jobs.Get(r.Context(), x.owner, j.ID)
		}
		if err != nil {
			return err
		}
		j = finished
	}
	return s.writeJob(w, r, http.StatusOK, j)
}

// writeJob answers with the job, and with when to look again if it is not finished.
func (s *Server) writeJob(w http.ResponseWriter, r *http.Request, status int, j job.Job) error {
	position := 0
	if !j.Status.Terminal() {
		position = s.position(r.Context(), j)
		retryAfter(w.Header(), time.Duration(min(position, 60)+1)*time.Second)
	}
	return writeJSON(w, status, openai.NewJob(j, position))
}

// position returns the job's estimated place in the queue; 0 if it does not wait or nobody knows.
func (s *Server) position(ctx context.Context, j job.Job) int {
	ctx, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	n, err := s.jobs.Position(ctx, j)
	if err != nil {
		return 0 // the reply is worth more than the guess
	}
	return n
}

// pollTime reads ?wait: a Go duration or plain seconds, cut to maxPoll.
func pollTime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		seconds, numberErr := strconv.ParseFloat(s, 64)
		err = numberErr
		d = time.Duration(min(seconds, maxPoll.Seconds()) * float64(time.Second))
		if math.IsNaN(seconds) || math.IsInf(seconds, 0) || seconds < 0 {
			d = -1
		}
	}
	if err != nil || d < 0 {
		return 0, &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Param: "wait",
			Message: "wait must be a time like 30s, or a number of seconds.",
		}
	}
	return min(d, maxPoll), nil
}
