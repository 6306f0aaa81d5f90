package httpapi

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func (s *Server) chat(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	req, err := openai.DecodeChat(body)
	if err != nil {
		return err
	}
	spec, err := s.spec(req.Model, req.Params)
	if err != nil {
		return err
	}
	if req.Stream {
		return s.streamChat(w, r, spec, req.IncludeUsage)
	}
	j, err := s.generate(w, r, spec)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, openai.NewChatCompletion(j))
}

// imagesRequest reads the body that images and jobs share.
func (s *Server) imagesRequest(r *http.Request) (openai.ImagesRequest, imagegen.Spec, error) {
	body, err := readBody(r)
	if err != nil {
		return openai.ImagesRequest{}, imagegen.Spec{}, err
	}
	req, err := openai.DecodeImages(body)
	if err != nil {
		return openai.ImagesRequest{}, imagegen.Spec{}, err
	}
	spec, err := s.spec(req.Model, req.Params)
	return req, spec, err
}

func (s *Server) images(w http.ResponseWriter, r *http.Request) error {
	req, spec, err := s.imagesRequest(r)
	if err != nil {
		return err
	}
	if req.Stream {
		return &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Param: "stream",
			Message: "Images cannot be streamed in this version: leave stream out, or use /v1/chat/completions.",
		}
	}
	j, err := s.generate(w, r, spec)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, openai.NewImagesReply(j))
}

// spec resolves and checks a request.
func (s *Server) spec(model string, p imagegen.Params) (imagegen.Spec, error) {
	m := s.catalog.Default()
	if model != "" {
		var ok bool
		if m, ok = s.catalog.Lookup(model); !ok {
			return imagegen.Spec{}, modelNotFound(model)
		}
	}
	return m.NewSpec(p, rand.Uint32)
}

// submit makes a job of the request and names it in the reply.
func (s *Server) submit(w http.ResponseWriter, r *http.Request, spec imagegen.Spec, lane job.Lane) (job.Job, error) {
	x := exchangeOf(r)
	j, err := s.jobs.Submit(r.Context(), job.New{Owner: x.owner, Spec: spec, Lane: lane})
	if err != nil {
		return job.Job{}, err
	}
	x.jobID = j.ID
	w.Header().Set("X-Job-Id", string(j.ID))
	return j, nil
}

// generate makes a job and waits for its pictures.
func (s *Server) generate(w http.ResponseWriter, r *http.Request, spec imagegen.Spec) (job.Job, error) {
	j, err := s.submit(w, r, spec, job.LaneInteractive)
	if err != nil {
		return job.Job{}, err
	}
	ctx, cancel := s.patiently(r.Context(), j.ID)
	defer cancel()
	j, err = s.jobs.Wait(ctx, j.Owner, j.ID, job.Beat{})
	if err != nil {
		return job.Job{}, err
	}
	if e := openai.JobError(j); e != nil {
		return job.Job{}, e
	}
	return j, nil
}

// patiently bounds the wait for a job. The cause is what the caller is told, as Wait returns it.
func (s *Server) patiently(ctx context.Context, id job.ID) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.patience, &imagegen.Error{
		Kind:    imagegen.KindGenerationTimeout,
		Message: fmt.Sprintf("The picture was not ready within %s. The job goes on: read it at %s.", s.patience, jobPath(id)),
	})
}
