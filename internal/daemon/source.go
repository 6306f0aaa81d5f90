package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// source gets the pictures that orders edit: those that were uploaded from the store, the others from where they are.
type source struct {
	files   *imagestore.Store
	fetcher *picture.Fetcher
}

// get is an adapter.SourceFunc.
func (s source) get(ctx context.Context, o imagegen.Order) (picture.Picture, error) {
	if o.SourceFile != "" {
		return s.read(ctx, o.SourceFile)
	}
	p, err := s.fetcher.Fetch(ctx, o.Source)
	if err != nil && picture.Permanent(err) {
		return picture.Picture{}, noSource("The image to edit cannot be fetched from its URL, or is no picture of a known type.", err)
	}
	return p, err
}

func (s source) read(ctx context.Context, name string) (picture.Picture, error) {
	f, err := s.files.Open(ctx, name)
	if errors.Is(err, imagestore.ErrNotFound) {
		return picture.Picture{}, noSource("The image to edit has expired: send it again.", err)
	}
	if err != nil {
		return picture.Picture{}, fmt.Errorf("open the uploaded picture: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	p, err := f.Picture()
	if err != nil {
		return picture.Picture{}, fmt.Errorf("read the uploaded picture: %w", err)
	}
	return p, nil
}

func noSource(message string, cause error) error {
	return &imagegen.Error{Kind: imagegen.KindInvalidValue, Param: "image", Message: message, Err: cause}
}
