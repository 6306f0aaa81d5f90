package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// pollAfter is what polling clients are told to wait between two looks at a response.
const pollAfter = time.Second

func (s *Server) createResponse(w http.ResponseWriter, r *http.Request) (rest, error) {
	body, err := readBody(r)
	if err != nil {
		return rest{}, err
	}
	req, err := openai.DecodeResponses(body)
	if err != nil {
		return rest{}, err
	}
	if s.housekeeping && req.Text != nil {
		return rest{}, s.responseText(w, r, req)
	}
	o, err := s.order(r, req.Ask, req.Previous)
	if err != nil {
		return rest{}, err
	}
	o.wish = job.Wish{Metadata: req.Metadata, Background: req.Background}
	switch {
	case req.Stream:
		return s.submit(w, r, o, s.patience, func(sub job.Submission) (rest, error) {
			return s.streamResponse(w, r, sub, -1), nil
		})
	case req.Background:
		return s.submit(w, r, o, 0, func(sub job.Submission) (rest, error) {
			return rest{}, s.writeResponse(w, r, sub.Job)
		})
	}
	return s.plain(w, r, o, url.Values{}, s.renderResponse)
}

// responseText answers a prompt of the client's own, which nobody wants drawn. There is no job, so it cannot be read again.
func (s *Server) responseText(w http.ResponseWriter, r *http.Request, req openai.ResponsesRequest) error {
	m, _, err := s.model(exchangeOf(r).key, req.Model)
	if err != nil {
		return err
	}
	s.answered(r)
	reply := openai.NewTextResponse(m.ID, *req.Text)
	if !req.Stream {
		return writeJSON(w, http.StatusOK, reply)
	}
	return openai.NewResponseStream(s.beginStream(w, r), -1).Text(reply)
}

func (s *Server) renderResponse(ctx context.Context, j job.Job, _ url.Values) (any, error) {
	contents, err := s.contents(ctx, j)
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	// Without its bytes a picture is still in the message.
	return openai.NewResponse(j, contents), nil
}

func (s *Server) getResponse(w http.ResponseWriter, r *http.Request) (rest, error) {
	j, err := s.jobOfResponse(w, r, s.jobs.Get)
	if err != nil {
		return rest{}, err
	}
	q := r.URL.Query()
	if q.Get("stream") != "true" {
		return rest{}, s.writeResponse(w, r, j)
	}
	after := -1
	if text := q.Get("starting_after"); text != "" {
		if after, err = strconv.Atoi(text); err != nil {
			return rest{}, &imagegen.Error{
				Kind: imagegen.KindInvalidValue, Param: "starting_after", Message: "starting_after must be the sequence_number of an event",
			}
		}
	}
	// A client that lost its stream is back on the line.
	return s.streamResponse(w, r, job.Submission{Job: j, Token: s.join(r, j.ID)}, after), nil
}

func (s *Server) cancelResponse(w http.ResponseWriter, r *http.Request) error {
	j, err := s.jobOfResponse(w, r, s.jobs.Cancel)
	if err != nil {
		return err
	}
	return s.writeResponse(w, r, j)
}

// jobOfResponse reads or cancels the job of the response in the path.
func (s *Server) jobOfResponse(
	w http.ResponseWriter, r *http.Request, f func(ctx context.Context, owner string, id job.ID) (job.Job, error),
) (job.Job, error) {
	x := exchangeOf(r)
	j, err := f(r.Context(), x.owner, openai.JobOfResponse(string(pathID(r))))
	if err != nil {
		return job.Job{}, err
	}
	x.hold(w, j.ID)
	return j, nil
}

// writeResponse answers with a response in whatever state it is.
func (s *Server) writeResponse(w http.ResponseWriter, r *http.Request, j job.Job) error {
	var contents []*openai.Content
	if j.Status.Terminal() {
		if len(openai.Pictures(j)) > 0 {
			var err error
			if contents, err = s.contents(r.Context(), j); err != nil && r.Context().Err() != nil {
				return err
			}
		}
	} else {
		w.Header().Set("Openai-Poll-After-Ms", strconv.FormatInt(pollAfter.Milliseconds(), 10))
	}
	return writeJSON(w, http.StatusOK, openai.NewResponse(j, contents))
}

func (s *Server) streamResponse(w http.ResponseWriter, r *http.Request, sub job.Submission, after int) rest {
	return s.stream(r, sub, openai.NewResponseStream(s.beginStream(w, r), after), anyContents)
}
