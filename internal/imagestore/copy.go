package imagestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// Fetcher gets pictures from where upstreams put them. It is safe for concurrent use.
type Fetcher interface {
	// Fetch gets a picture of at most [picture.MaxBytes]; [picture.Permanent] tells of its errors.
	Fetch(ctx context.Context, rawURL string) (picture.Picture, error)
}

// Copier makes drawn pictures the gateway's own. It is safe for concurrent use.
type Copier struct {
	store     *Store
	fetcher   Fetcher
	converter *picture.Converter
	log       *slog.Logger
}

// NewCopier returns a copier into the store.
func NewCopier(s *Store, f Fetcher, log *slog.Logger) *Copier {
	return &Copier{store: s, fetcher: f, converter: picture.NewConverter(), log: log}
}

// Keeps reports whether Copy would put the picture into the store: bytes always, one at a URL where there is a bucket.
func (c *Copier) Keeps(d imagegen.Drawing) bool { return d.URL == "" || c.store.HasBucket() }

// Copied is a picture of the store.
type Copied struct {
	// Name is the picture's in the store; empty: it stays at its URL, as there is no bucket to copy it to.
	Name   string
	Format picture.Format
	// Width and Height are the picture's own, in pixels; zero where its header does not tell.
	Width, Height int
}

// CopyError is why a picture could not be copied. Its text is for the operator.
type CopyError struct {
	// Permanent is set where another try will not mend it: what is at the URL is no picture, or too large, or not allowed to
	// be fetched. Else a server or the store failed, or ctx ended.
	Permanent bool
	// Status is the HTTP status that the picture's server answered with; 0: it did not answer with one. It is not permanent:
	// links to new pictures may not be there yet.
	Status int
	Err    error
}

// Error returns the cause.
func (e *CopyError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *CopyError) Unwrap() error { return e.Err }

// Copy puts what an upstream drew into the store, as a picture of the job: in the format png, jpeg (of the quality 1 to
// 100; 0: the default) or webp, or as it came where format is empty. A picture that cannot be converted, such as an AVIF
// file or a damaged one, is kept as it came too: its client sees something in any case. Without a bucket a picture at a
// URL is left there, and only bytes are kept.
//
// stem is what the picture's name begins with, one of [NewStem]; empty: a new one. Who repeats a copy with the stem of
// before finds no second picture in the store. Errors are of the type *CopyError.
func (c *Copier) Copy(ctx context.Context, jobID, stem string, d imagegen.Drawing, format string, quality int) (Copied, error) {
	if !c.Keeps(d) {
		return Copied{}, nil
	}
	if stem == "" {
		stem = NewStem()
	}
	p, err := c.take(ctx, d)
	if err != nil {
		return Copied{}, err
	}
	if p, err = c.convert(ctx, jobID, p, picture.Format(format), quality); err != nil {
		return Copied{}, err
	}
	copied := Copied{Name: stem + p.Format.Extension(), Format: p.Format}
	copied.Width, copied.Height, _ = picture.Size(p)
	if err := c.store.put(ctx, copied.Name, jobID, p, patientTimeout); err != nil {
		return Copied{}, &CopyError{Err: err}
	}
	return copied, nil
}

// take returns the picture as the upstream made it.
func (c *Copier) take(ctx context.Context, d imagegen.Drawing) (picture.Picture, error) {
	if d.URL != "" {
		p, err := c.fetcher.Fetch(ctx, d.URL)
		if err != nil {
			status, _ := errors.AsType[picture.StatusError](err)
			return picture.Picture{}, &CopyError{Permanent: picture.Permanent(err) && status == 0, Status: int(status), Err: err}
		}
		return p, nil
	}
	if len(d.Data) > picture.MaxBytes {
		return picture.Picture{}, &CopyError{Permanent: true, Err: fmt.Errorf("%d bytes are more than %d", len(d.Data), picture.MaxBytes)}
	}
	format, ok := picture.Sniff(d.Data)
	if !ok {
		return picture.Picture{}, &CopyError{Permanent: true, Err: fmt.Errorf("%d bytes are no picture of a known type", len(d.Data))}
	}
	return picture.Picture{Format: format, Data: d.Data}, nil
}

func (c *Copier) convert(ctx context.Context, jobID string, p picture.Picture, to picture.Format, quality int) (picture.Picture, error) {
	if to == "" {
		return p, nil
	}
	converted, err := c.converter.Convert(ctx, p, to, quality)
	switch {
	case err == nil:
		return converted, nil
	case ctx.Err() != nil:
		return picture.Picture{}, &CopyError{Err: fmt.Errorf("wait for the conversion: %w", err)}
	}
	c.log.WarnContext(ctx, "a picture is kept as it came: it cannot be converted", slog.String("job_id", jobID),
		slog.String("from", string(p.Format)), slog.String("to", string(to)), slog.Any("error", err))
	return p, nil
}

// Discard deletes a picture that Copy made and that nobody wants any more, as its job ended meanwhile. It may be repeated.
// Where it fails, the picture goes with its job.
func (c *Copier) Discard(ctx context.Context, jobID, name string) error {
	return c.store.discard(ctx, jobID, name)
}
