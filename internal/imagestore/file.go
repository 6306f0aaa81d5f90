package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// openTimeout is how long a bucket may take to begin with a picture.
const openTimeout = 15 * time.Second

// File is an open picture. ETag is a strong one, quoted as HTTP wants it: a name never gets another picture.
type File struct {
	io.ReadSeekCloser

	Format  picture.Format
	Size    int64
	ModTime time.Time // zero: not known
	ETag    string
}

// Picture reads the whole picture.
func (f *File) Picture() (picture.Picture, error) {
	data, err := io.ReadAll(io.LimitReader(f, picture.MaxBytes+1))
	if err != nil {
		return picture.Picture{}, fmt.Errorf("read the picture: %w", err)
	}
	if len(data) > picture.MaxBytes {
		return picture.Picture{}, fmt.Errorf("the picture has more than %d bytes", picture.MaxBytes)
	}
	return picture.Picture{Format: f.Format, Data: data}, nil
}

// Open opens a picture; the caller closes it, and reads it before ctx ends. The error is [ErrNotFound] where there is none
// of that name. Redis is asked where the bucket has none, or fails: it has what the bucket would not take.
func (s *Store) Open(ctx context.Context, name string) (*File, error) {
	format, ok := formatOf(name)
	if !ok {
		return nil, ErrNotFound
	}
	random, _, _ := strings.Cut(name, ".")
	f := &File{Format: format, ETag: strconv.Quote(random)}
	err := ErrNotFound
	if s.bucket != nil {
		if err = s.openBlob(ctx, name, f); err == nil {
			return f, nil
		}
	}
	data, keptErr := s.kept(ctx, name)
	switch {
	case keptErr == nil:
		f.ReadSeekCloser, f.Size = readSeekNopCloser{bytes.NewReader(data)}, int64(len(data))
		return f, nil
	case !errors.Is(keptErr, ErrNotFound):
		err = keptErr
	}
	if errors.Is(err, ErrNotFound) {
		return nil, ErrNotFound
	}
	return nil, fmt.Errorf("open picture %s: %w", name, err)
}

type readSeekNopCloser struct{ io.ReadSeeker }

func (readSeekNopCloser) Close() error { return nil }

// openBlob opens a picture of the bucket as f's.
func (s *Store) openBlob(ctx context.Context, name string, f *File) error {
	// The reader goes on with this context, so it must not end by itself once the picture is open.
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(openTimeout, func() { cancel(errors.New("the bucket did not answer in time")) })
	r, err := s.bucket.NewReader(ctx, name, nil)
	if err == nil && late.Stop() {
		f.ReadSeekCloser, f.Size, f.ModTime = blobReader{r, cancel}, r.Size(), r.ModTime()
		return nil
	}
	if err == nil {
		err = errors.Join(context.Cause(ctx), r.Close())
	}
	late.Stop()
	cancel(nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return ErrNotFound
	}
	return err
}

// blobReader is a picture of the bucket.
type blobReader struct {
	*blob.Reader

	cancel context.CancelCauseFunc
}

// Close ends what of the picture is still on its way.
func (r blobReader) Close() error {
	defer r.cancel(nil)
	return r.Reader.Close() //nolint:wrapcheck // an io.Closer as any
}
