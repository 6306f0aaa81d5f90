package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

const (
	// maxSilence is the longest pause between two data events. Some front ends count only those and give up after 30 s.
	maxSilence = 24 * time.Second
	// writeTimeout is how long a client may leave an event lying in its buffers.
	writeTimeout = 15 * time.Second
)

// streamChat answers a chat call as events. A refused job still has its own status; once there is a job the reply
// begins at once, as clients give up on headers that do not come within a minute.
func (s *Server) streamChat(w http.ResponseWriter, r *http.Request, spec imagegen.Spec, includeUsage bool) error {
	j, err := s.submit(w, r, spec, job.LaneInteractive)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events for itself
	w.WriteHeader(http.StatusOK)

	x := exchangeOf(r)
	events := openai.NewChatStream(eventWriter{w: w, conn: http.NewResponseController(x.w.Unwrap())}, j)
	if err := events.Start(); err != nil {
		return err
	}
	j, err = s.follow(r.Context(), events, j)
	if err == nil {
		if e := openai.JobError(j); e != nil {
			err = e
		}
	}
	if err == nil {
		return events.Finish(j, includeUsage)
	}
	if errors.Is(err, errClientGone) || errors.Is(context.Cause(r.Context()), context.Canceled) {
		return err
	}
	return errors.Join(err, events.Fail(imagegen.AsError(err), x.requestID))
}

// follow waits for the job and shows signs of life meanwhile.
func (s *Server) follow(ctx context.Context, events *openai.ChatStream, j job.Job) (job.Job, error) {
	ctx, cancel := s.patiently(ctx, j.ID)
	defer cancel()
	spoke := time.Now()
	return s.jobs.Wait(ctx, j.Owner, j.ID, job.Beat{Every: s.pause, Func: func(ctx context.Context) error {
		if err := events.Waiting(s.position(ctx, j)); err != nil {
			return err
		}
		if time.Since(spoke)+s.pause > maxSilence {
			spoke = time.Now()
			return events.Beat()
		}
		return nil
	}})
}

// eventWriter sends what is written at once and gives up on a client that takes nothing any more.
type eventWriter struct {
	w    http.ResponseWriter
	conn *http.ResponseController
}

// Write writes and flushes b.
func (e eventWriter) Write(b []byte) (int, error) {
	err := e.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) { // recorders in tests know no deadlines
		return 0, errors.Join(errClientGone, err)
	}
	n, err := e.w.Write(b)
	if err == nil {
		err = e.conn.Flush()
	}
	if err != nil {
		return n, errors.Join(errClientGone, err)
	}
	return n, nil
}
