package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// contents fetches the pictures of a job, for replies that hold their bytes; nil stands for one that cannot be had. It
// fails where that is true of all.
func (s *Server) contents(ctx context.Context, j job.Job) ([]*openai.Content, error) {
	pictures := openai.Pictures(j)
	all := make([]*openai.Content, len(pictures))
	var fetching sync.WaitGroup
	for i, p := range pictures {
		fetching.Go(func() { all[i] = s.content(ctx, j, p.URL) })
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
	return nil, &imagegen.Error{
		Kind: imagegen.KindUpstreamError,
		Message: "The picture was drawn, but could not be fetched from where the image service put it. " +
			"Its URL is at " + jobPath(j.ID) + ".",
	}
}

// content fetches one picture, in the format that the job asks for if it can be converted.
func (s *Server) content(ctx context.Context, j job.Job, url string) *openai.Content {
	began := time.Now()
	p, err := s.load(ctx, j.Spec, url)
	if s.metrics != nil && ctx.Err() == nil {
		s.metrics.PictureFetched(err == nil, time.Since(began))
	}
	if err != nil {
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "fetch a picture for its reply", slog.String("job_id", string(j.ID)), slog.Any("error", err))
		}
		return nil
	}
	return &openai.Content{Format: string(p.Format), Data: p.Data}
}

// load fetches and converts. It reads what strangers made, on a goroutine where a panic would end the process.
func (s *Server) load(ctx context.Context, spec imagegen.Spec, url string) (p picture.Picture, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v: %s", v, debug.Stack())
		}
	}()
	if p, err = s.pictures.Fetch(ctx, url); err != nil {
		return picture.Picture{}, err
	}
	return s.convert(ctx, p, spec)
}

// convert turns a picture into the format asked for. A format that cannot be read is passed on as it is: its client sees
// a picture in any case.
func (s *Server) convert(ctx context.Context, p picture.Picture, spec imagegen.Spec) (picture.Picture, error) {
	want := picture.Format(spec.OutputFormat)
	if want == "" || want == p.Format {
		return p, nil
	}
	// Decoding takes tens of megabytes and all of a processor.
	select {
	case s.converting <- struct{}{}:
		defer func() { <-s.converting }()
	case <-ctx.Done():
		return picture.Picture{}, context.Cause(ctx)
	}
	converted, err := picture.Convert(p, want, spec.OutputCompression)
	if err != nil {
		s.log.DebugContext(ctx, "convert a picture", slog.String("from", string(p.Format)), slog.String("to", string(want)), slog.Any("error", err))
		return p, nil
	}
	return converted, nil
}
