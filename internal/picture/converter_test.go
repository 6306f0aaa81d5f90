package picture_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

func TestConverter(t *testing.T) {
	t.Parallel()
	c := picture.NewConverter()
	p := encodePNG(t, drawing(64, 48, 9))
	var g errgroup.Group
	for range 20 {
		g.Go(func() error {
			got, err := c.Convert(t.Context(), p, picture.JPEG, 0)
			if err != nil {
				return err
			}
			if w, h, ok := picture.Size(got); !ok || w != 64 || h != 48 || got.Format != picture.JPEG {
				t.Errorf("%s of %d x %d, %v", got.Format, w, h, ok)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Convert(t.Context(), p, picture.AVIF, 0); !errors.Is(err, picture.ErrUnsupported) {
		t.Errorf("to avif: %v", err)
	}
}

func TestConverterWaitsNoLonger(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	c := picture.NewConverter()
	p := encodePNG(t, drawing(8, 8, 0))
	var refused error
	for range 200 { // with a free place either may win
		if _, err := c.Convert(ctx, p, picture.JPEG, 0); err != nil {
			refused = err
		}
	}
	if !errors.Is(refused, why) {
		t.Errorf("got %v, want the cause", refused)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for is, p := range map[string]picture.Picture{
		"avif":    {Format: picture.AVIF, Data: []byte("\x00\x00\x00\x18ftypavif")},
		"cut off": {Format: picture.PNG, Data: []byte("\x89PNG\r\n\x1a\n")},
		"empty":   {Format: picture.JPEG},
		"unknown": {},
	} {
		if w, h, ok := picture.Size(p); ok || w != 0 || h != 0 {
			t.Errorf("%s: %d x %d, %v", is, w, h, ok)
		}
	}
}

func TestPermanent(t *testing.T) {
	t.Parallel()
	if _, err := newFetcher(t, 0).Fetch(t.Context(), "ftp://example.com/"); !picture.Permanent(err) {
		t.Errorf("%v is not permanent", err)
	}
	if picture.Permanent(context.DeadlineExceeded) {
		t.Error("a timeout is permanent")
	}
}
