package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// maxSilence is the longest pause between two data events. Some front ends count only those and give up after 30 s.
const maxSilence = 24 * time.Second

// beginStream begins a reply of events, at once: clients give up on headers that do not come within a minute.
func (s *Server) beginStream(w http.ResponseWriter, r *http.Request) io.Writer {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events for itself
	w.WriteHeader(http.StatusOK)
	x := exchangeOf(r)
	return eventWriter{w: w, conn: http.NewResponseController(x.w.Unwrap())}
}

// streamChat opens a chat call that is answered as events. A refused job still has its own status.
func (s *Server) streamChat(w http.ResponseWriter, r *http.Request, o order, options openai.ChatOptions) (rest, error) {
	return s.submit(w, r, o, s.patience, func(sub job.Submission) (rest, error) {
		return s.stream(r, sub, openai.NewChatStream(s.beginStream(w, r), sub.Job, options), noContents), nil
	})
}

// streamImages opens an images call that is answered as events.
func (s *Server) streamImages(
	w http.ResponseWriter, r *http.Request, o order, edit bool, format openai.ResponseFormat,
) (rest, error) {
	need := noContents
	if format.Needs() {
		need = allContents
	}
	return s.submit(w, r, o, s.patience, func(sub job.Submission) (rest, error) {
		return s.stream(r, sub, openai.NewImageStream(s.beginStream(w, r), edit, format), need), nil
	})
}

// signs of life of a stream.
type signs interface {
	Waiting(o job.Outlook) error
	Beat() error
}

// events are the reply to one job.
type events interface {
	signs
	Start(j job.Job) error
	Finish(j job.Job, contents []*openai.Content) error
	Fail(j job.Job, e *imagegen.Error, requestID string) error
}

// need says whether a reply takes the pictures' bytes.
type need int

const (
	noContents  need = iota
	anyContents      // those that can be had
	allContents      // none is a failure
)

// stream begins a stream, and waits for what there is to be written to it.
func (s *Server) stream(r *http.Request, sub job.Submission, out events, n need) rest {
	var finished *job.Job
	err := out.Start(sub.Job)
	return rest{
		wait: func() {
			if err == nil {
				finished, err = s.follow(r.Context(), out, sub.Job)
			}
		},
		then: func() (rest, error) { return rest{}, s.finish(r, sub, finished, err, out, n) },
	}
}

// finish writes the end of a stream, whose wait brought the job as it ended, or failed.
func (s *Server) finish(r *http.Request, sub job.Submission, finished *job.Job, err error, out events, n need) error {
	j := sub.Job
	s.part(r, line{j.ID, sub.Token}, err)
	if err == nil {
		j = *finished
		if e := openai.JobError(j); e != nil {
			err = e
		}
	}
	var contents []*openai.Content
	if err == nil && n != noContents {
		contents, err = s.contentsAlive(r.Context(), out, j)
		if n == anyContents && r.Context().Err() == nil && !errors.Is(err, errClientGone) {
			err = nil
		}
	}
	switch {
	case err == nil:
		return out.Finish(j, contents)
	case gone(r, err):
		return err
	}
	return errors.Join(err, out.Fail(j, imagegen.AsError(err), exchangeOf(r).requestID))
}

// follow waits for the job and shows signs of life meanwhile.
func (s *Server) follow(ctx context.Context, out signs, j job.Job) (*job.Job, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience, s.overdue(j.ID))
	defer cancel()
	spoke := time.Now()
	return s.jobs.Wait(ctx, j.Owner, j.ID, job.Beat{Every: s.pause, Func: func(ctx context.Context) error {
		if err := out.Waiting(s.outlook(ctx, j)); err != nil {
			return err
		}
		if time.Since(spoke)+s.pause > maxSilence {
			spoke = time.Now()
			return out.Beat()
		}
		return nil
	}})
}

// contentsAlive fetches the pictures of a job and shows signs of life meanwhile.
func (s *Server) contentsAlive(ctx context.Context, out signs, j job.Job) ([]*openai.Content, error) {
	type fetched struct {
		contents []*openai.Content
		err      error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan fetched)
	go func() {
		contents, err := s.contents(ctx, j)
		done <- fetched{contents, err}
	}()
	tick := time.NewTicker(s.pause)
	defer tick.Stop()
	var broken error
	for {
		select {
		case f := <-done:
			return f.contents, errors.Join(broken, f.err)
		case <-tick.C:
			if err := out.Waiting(job.Outlook{}); err != nil && broken == nil {
				broken = err
				cancel()
			}
		}
	}
}

// eventWriter sends what is written at once and gives up on a client that takes nothing any more.
type eventWriter struct {
	w    http.ResponseWriter
	conn *http.ResponseController
}

// Write writes and flushes b.
func (e eventWriter) Write(b []byte) (int, error) {
	allowTime(e.w, len(b))
	n, err := e.w.Write(b)
	if err == nil {
		err = e.conn.Flush()
	}
	if err != nil {
		return n, errors.Join(errClientGone, err)
	}
	return n, nil
}
