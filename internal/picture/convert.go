package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/webp"

	"github.com/zimage-gateway/zimage-gateway/internal/picture/vp8l"
)

const (
	// maxPixels bounds what is decoded: four bytes each.
	maxPixels = 24 << 20
	// defaultQuality is that of a jpeg whose quality nobody named.
	defaultQuality = 90
	// maxScans bounds how often a progressive jpeg may go through its pixels: ten or so is usual, and a scan of a few
	// bytes costs as much time as any.
	maxScans = 64
)

// ErrUnsupported says that a picture cannot be converted from or to a format.
var ErrUnsupported = errors.New("no conversion for this format")

// codec reads one format.
type codec struct {
	config func(*bytes.Reader) (image.Config, error)
	decode func(*bytes.Reader) (image.Image, error)
}

var codecs = map[Format]codec{
	PNG: {
		func(r *bytes.Reader) (image.Config, error) { return png.DecodeConfig(r) },
		func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) },
	},
	JPEG: {
		func(r *bytes.Reader) (image.Config, error) { return jpeg.DecodeConfig(r) },
		func(r *bytes.Reader) (image.Image, error) { return jpeg.Decode(r) },
	},
	GIF: { // its first frame
		func(r *bytes.Reader) (image.Config, error) { return gif.DecodeConfig(r) },
		func(r *bytes.Reader) (image.Image, error) { return gif.Decode(r) },
	},
	WebP: {
		func(r *bytes.Reader) (image.Config, error) { return webp.DecodeConfig(r) },
		func(r *bytes.Reader) (image.Image, error) { return webp.Decode(r) },
	},
}

// Convert returns the picture as a png, a jpeg of the quality 1 to 100 (0: 90) or a lossless webp. In its own format it
// is returned as it is, else what comes beside the pixels is dropped. It takes up to twenty bytes of memory a pixel
// meanwhile, so callers bound how many run at once.
func Convert(p Picture, to Format, quality int) (Picture, error) {
	if p.Format == to {
		return p, nil
	}
	if quality < 0 || quality > 100 {
		return Picture{}, fmt.Errorf("%w: quality %d", ErrUnsupported, quality)
	}
	if to != PNG && to != JPEG && to != WebP {
		return Picture{}, fmt.Errorf("%w: to %s", ErrUnsupported, to)
	}
	img, err := decode(p)
	if err != nil {
		return Picture{}, err
	}
	data, err := encode(img, to, quality)
	if err != nil {
		return Picture{}, fmt.Errorf("encode as %s: %w", to, err)
	}
	return Picture{Format: to, Data: data}, nil
}

func encode(img image.Image, to Format, quality int) ([]byte, error) {
	if to == WebP {
		return vp8l.Encode(pixels(img))
	}
	var out bytes.Buffer
	var err error
	if to == JPEG {
		if quality == 0 {
			quality = defaultQuality
		}
		err = jpeg.Encode(&out, opaque(img), &jpeg.Options{Quality: quality})
	} else {
		err = png.Encode(&out, img)
	}
	return out.Bytes(), err
}

// pixels returns img with eight bits a channel, and each channel as it is wherever it was so before.
func pixels(img image.Image) *image.NRGBA {
	if n, ok := img.(*image.NRGBA); ok {
		return n
	}
	area := image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy())
	if o, ok := img.(interface{ Opaque() bool }); ok && o.Opaque() {
		flat := image.NewRGBA(area) // many times faster to draw on, and the same bytes where nothing is transparent
		draw.Draw(flat, area, img, img.Bounds().Min, draw.Src)
		return &image.NRGBA{Pix: flat.Pix, Stride: flat.Stride, Rect: area}
	}
	out := image.NewNRGBA(area)
	for y := range area.Max.Y { // not draw.Draw: it multiplies by alpha and back
		for x := range area.Max.X {
			out.Set(x, y, img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y))
		}
	}
	return out
}

func decode(p Picture) (image.Image, error) {
	c, ok := codecs[p.Format]
	if !ok {
		return nil, fmt.Errorf("%w: from %s", ErrUnsupported, p.Format)
	}
	size, err := c.config(bytes.NewReader(p.Data))
	if err != nil {
		return nil, fmt.Errorf("read the size of a %s: %w", p.Format, err)
	}
	if size.Width <= 0 || size.Height <= 0 || size.Width > maxPixels/size.Height {
		return nil, fmt.Errorf("%w: %d x %d pixels", ErrUnsupported, size.Width, size.Height)
	}
	if p.Format == JPEG && bytes.Count(p.Data, []byte{0xff, 0xda}) > maxScans {
		return nil, fmt.Errorf("%w: a jpeg of more than %d scans", ErrUnsupported, maxScans)
	}
	img, err := c.decode(bytes.NewReader(p.Data))
	if err != nil {
		return nil, fmt.Errorf("decode a %s: %w", p.Format, err)
	}
	return img, nil
}

// opaque lays a picture on white where it is transparent: a jpeg would show black.
func opaque(img image.Image) image.Image {
	if o, ok := img.(interface{ Opaque() bool }); ok && o.Opaque() {
		return img
	}
	flat := image.NewRGBA(img.Bounds())
	draw.Draw(flat, flat.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(flat, flat.Bounds(), img, img.Bounds().Min, draw.Over)
	return flat
}
