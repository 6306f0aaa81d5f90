package picture_test

import (
	"bytes"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/webp"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// TestWebPOfAnyPicture has the pictures that are rare, and on which entropy coders go wrong.
func TestWebPOfAnyPicture(t *testing.T) {
	t.Parallel()
	noise := image.NewNRGBA(image.Rect(0, 0, 300, 300))
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // nothing here is secret
	for i := range noise.Pix {
		noise.Pix[i] = byte(r.Uint32()) //nolint:gosec // any bits do
	}
	dim := image.NewPaletted(image.Rect(0, 0, 9, 9), color.Palette{color.NRGBA{R: 200, A: 1}, color.NRGBA{G: 3, A: 77}})
	dim.Pix[4] = 1
	for sentence, img := range map[string]image.Image{
		"noise":                 noise,
		"one black pixel":       image.NewGray(image.Rect(0, 0, 1, 1)),
		"two colours":           image.NewPaletted(image.Rect(0, 0, 20, 20), color.Palette{color.Black, color.White}),
		"two colours, both dim": dim,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			p, err := picture.Convert(encodePNG(t, img), picture.WebP, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := webp.Decode(bytes.NewReader(p.Data))
			if err != nil {
				t.Fatal(err)
			}
			for y := range img.Bounds().Dy() {
				for x := range img.Bounds().Dx() {
					if c, want := got.At(x, y), color.NRGBAModel.Convert(img.At(x, y)); c != want {
						t.Fatalf("pixel %d,%d is %v, want %v", x, y, c, want)
					}
				}
			}
		})
	}
}

func TestConvertRefusesQualities(t *testing.T) {
	t.Parallel()
	p := encodePNG(t, image.NewGray(image.Rect(0, 0, 4, 4)))
	for _, q := range []int{-1, 101} {
		if _, err := picture.Convert(p, picture.JPEG, q); err == nil {
			t.Errorf("quality %d is no error", q)
		}
	}
}

func TestConvertRefusesEndlessScans(t *testing.T) {
	t.Parallel()
	p := picture.Picture{Format: picture.JPEG, Data: endlessScans()}
	if _, err := picture.Convert(p, picture.PNG, 0); err == nil {
		t.Error("all scans were read")
	}
}

// endlessScans is a small file that says over and over to go through all of a large picture once more.
func endlessScans() []byte {
	const side = 8000
	out := []byte{0xff, 0xd8}
	out = append(out, 0xff, 0xc2, 0, 11, 8, side>>8, side&0xff, side>>8, side&0xff, 1, 1, 0x11, 0) // SOF2, grey
	out = append(out, 0xff, 0xdb, 0, 67, 0)
	out = append(out, bytes.Repeat([]byte{1}, 64)...)
	// DHT: one AC table whose only symbol is an end-of-band run of 2^14 blocks and more.
	out = append(out, 0xff, 0xc4, 0, 20, 0x10, 1)
	out = append(out, make([]byte, 15)...)
	out = append(out, 0xe0)
	for range 1500 {
		out = append(out, 0xff, 0xda, 0, 8, 1, 1, 0x00, 1, 63, 0x00)
		out = append(out, make([]byte, 130)...) // zero bits: the run, its length, and again
	}
	return append(out, 0xff, 0xd9)
}
