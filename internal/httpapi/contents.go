package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// contents reads the pictures of a job, for replies that hold their bytes; nil stands for one that cannot be had. It fails
// where that is true of all.
func (s *Server) contents(ctx context.Context, j job.Job) ([]*openai.Content, error) {
	pictures := openai.Pictures(j)
	all, errs := make([]*openai.Content, len(pictures)), make([]error, len(pictures))
	var fetching sync.WaitGroup
	for i, p := range pictures {
		fetching.Go(func() { all[i], errs[i] = s.content(ctx, j, p) })
	}
	fetching.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, c := range all {
		if c != nil {
			return all, nil
		}
	}
	if err := errors.Join(errs...); errors.Is(err, errStoreFails) {
		return nil, &imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: cannotRead, Err: err}
	}
	return nil, &imagegen.Error{
		Kind:    imagegen.KindUpstreamError,
		Message: "The picture was drawn, but could not be fetched from where it was put. Its URL is at " + jobPath(j.ID) + ".",
	}
}

// errStoreFails says that a stored picture could not be read, which is no sign that it is gone.
var errStoreFails = errors.New("the image store fails")

// cannotRead is what a client is told then.
const cannotRead = "The picture cannot be read at the moment; please try again."

// content gets one picture, in the format that the job asks for if it can be converted.
func (s *Server) content(ctx context.Context, j job.Job, img imagegen.Image) (*openai.Content, error) {
	began := time.Now()
	p, err := s.load(ctx, img)
	if err == nil {
		p, err = s.convert(ctx, p, j.Spec)
	}
	if s.metrics != nil && ctx.Err() == nil {
		s.metrics.PictureFetched(err == nil, time.Since(began))
	}
	if err != nil {
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "fetch a picture for its reply", slog.String("job_id", string(j.ID)), slog.Any("error", err))
		}
		return nil, err
	}
	return &openai.Content{Format: string(p.Format), Data: p.Data}, nil
}

// load reads a picture from the store, if it is there, or from where the upstream put it.
func (s *Server) load(ctx context.Context, img imagegen.Image) (picture.Picture, error) {
	if img.File == "" || s.files == nil {
		return s.pictures.Fetch(ctx, img.URL)
	}
	f, err := s.files.Open(ctx, img.File)
	if errors.Is(err, imagestore.ErrNotFound) {
		return picture.Picture{}, err
	}
	if err != nil {
		return picture.Picture{}, fmt.Errorf("%w: %w", errStoreFails, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	p, err := f.Picture()
	if err != nil {
		return picture.Picture{}, fmt.Errorf("%w: %w", errStoreFails, err)
	}
	return p, nil
}

// convert turns a picture into the format asked for, which a stored one mostly has already. A picture that cannot be read
// is passed on as it is: its client sees something in any case.
func (s *Server) convert(ctx context.Context, p picture.Picture, spec imagegen.Spec) (picture.Picture, error) {
	want := picture.Format(spec.OutputFormat)
	if want == "" {
		return p, nil
	}
	converted, err := s.converter.Convert(ctx, p, want, spec.OutputCompression)
	if ctx.Err() != nil {
		return picture.Picture{}, context.Cause(ctx)
	}
	if err != nil {
		s.log.DebugContext(ctx, "convert a picture", slog.String("from", string(p.Format)), slog.String("to", string(want)), slog.Any("error", err))
		return p, nil
	}
	return converted, nil
}
