package picture_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/image/webp"
	"pgregory.net/rapid"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drawing is a picture of the size with smooth and with rough parts.
func drawing(w, h int, rough uint8) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	seed := uint32(w*31 + h) //nolint:gosec // any number will do
	for y := range h {
		for x := range w {
			seed = seed*1664525 + 1013904223
			noise := uint8(seed>>24) % (rough + 1)
			img.SetNRGBA(x, y, color.NRGBA{uint8(x*255/w) + noise, uint8(y*255/h) ^ noise, uint8(x ^ y), 255}) //nolint:gosec // as above
		}
	}
	return img
}

func encodePNG(t interface{ Fatal(...any) }, img image.Image) picture.Picture {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return picture.Picture{Format: picture.PNG, Data: b.Bytes()}
}

func TestWebPIsLossless(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		img := drawing(rapid.IntRange(1, 200).Draw(t, "w"), rapid.IntRange(1, 200).Draw(t, "h"), rapid.Uint8Max(254).Draw(t, "rough"))
		p, err := picture.Convert(encodePNG(t, img), picture.WebP, 0)
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := picture.Sniff(p.Data); f != picture.WebP || !ok {
			t.Fatalf("looks like %q", f)
		}
		got, err := webp.Decode(bytes.NewReader(p.Data))
		if err != nil {
			t.Fatal(err)
		}
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				if c := color.NRGBAModel.Convert(got.At(x, y)); c != img.At(x, y) {
					t.Fatalf("pixel %d,%d is %v, want %v", x, y, c, img.At(x, y))
				}
			}
		}
	})
}

func TestConvert(t *testing.T) {
	t.Parallel()
	img := drawing(64, 48, 3)
	sources := map[picture.Format]picture.Picture{picture.PNG: encodePNG(t, img)}
	var asGIF, asJPEG bytes.Buffer
	if err := errors.Join(gif.Encode(&asGIF, img, nil), jpeg.Encode(&asJPEG, img, nil)); err != nil {
		t.Fatal(err)
	}
	sources[picture.GIF] = picture.Picture{Format: picture.GIF, Data: asGIF.Bytes()}
	sources[picture.JPEG] = picture.Picture{Format: picture.JPEG, Data: asJPEG.Bytes()}
	asWebP, err := picture.Convert(sources[picture.PNG], picture.WebP, 0)
	if err != nil {
		t.Fatal(err)
	}
	sources[picture.WebP] = asWebP
	for from, p := range sources {
		for _, to := range []picture.Format{picture.PNG, picture.JPEG, picture.WebP} {
			got, err := picture.Convert(p, to, 0)
			if err != nil {
				t.Errorf("%s to %s: %v", from, to, err)
				continue
			}
			if f, ok := picture.Sniff(got.Data); f != to || got.Format != to || !ok {
				t.Errorf("%s to %s gave %s that looks like %s", from, to, got.Format, f)
			}
			decoded, err := picture.Convert(got, picture.PNG, 0)
			if err != nil {
				t.Errorf("%s to %s cannot be read: %v", from, to, err)
				continue
			}
			size, err := png.DecodeConfig(bytes.NewReader(decoded.Data))
			if err != nil || size.Width != 64 || size.Height != 48 {
				t.Errorf("%s to %s is %dx%d (%v)", from, to, size.Width, size.Height, err)
			}
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	t.Parallel()
	p := encodePNG(t, drawing(8, 8, 0))
	for name, c := range map[string]struct {
		p  picture.Picture
		to picture.Format
	}{
		"from avif":        {picture.Picture{Format: picture.AVIF, Data: []byte("x")}, picture.PNG},
		"to gif":           {p, picture.GIF},
		"to nothing known": {p, "bmp"},
		"too many pixels":  {picture.Picture{Format: picture.PNG, Data: header(1<<20, 1<<20)}, picture.JPEG},
	} {
		if _, err := picture.Convert(c.p, c.to, 0); !errors.Is(err, picture.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", name, err)
		}
	}
	if _, err := picture.Convert(picture.Picture{Format: picture.PNG, Data: p.Data[:len(p.Data)/2]}, picture.JPEG, 0); err == nil {
		t.Error("half a picture was converted")
	}
	if same, err := picture.Convert(picture.Picture{Format: picture.AVIF, Data: []byte("x")}, picture.AVIF, 0); err != nil || string(same.Data) != "x" {
		t.Errorf("a picture in the format asked for was touched: %v", err)
	}
}

// header is the beginning of a PNG of the size.
func header(w, h int) []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	for _, n := range []int{w, h} {
		b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)) //nolint:gosec // the bytes are what is wanted
	}
	b = append(b, 8, 6, 0, 0, 0)
	crc := uint32(0xffffffff)
	for _, c := range b[12:] {
		crc ^= uint32(c)
		for range 8 {
			crc = crc>>1 ^ 0xedb88320&-(crc&1)
		}
	}
	crc = ^crc
	return append(b, byte(crc>>24), byte(crc>>16), byte(crc>>8), byte(crc)) //nolint:gosec // as above
}

func TestTransparencyBecomesWhite(t *testing.T) {
	t.Parallel()
	p, err := picture.Convert(encodePNG(t, image.NewNRGBA(image.Rect(0, 0, 16, 16))), picture.JPEG, 100)
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(p.Data))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := img.At(8, 8).RGBA(); min(r, g, b) < 0xf000 {
		t.Errorf("transparent became %x %x %x", r, g, b)
	}
}

func TestSniff(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]picture.Format{
		"\x89PNG\r\n\x1a\n...":                             picture.PNG,
		"\xff\xd8\xff\xe0JFIF":                             picture.JPEG,
		"RIFF\x10\x00\x00\x00WEBPVP8L":                     picture.WebP,
		"GIF87a...":                                        picture.GIF,
		"GIF89a...":                                        picture.GIF,
		"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00":         picture.AVIF,
		"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00miafavif": picture.AVIF,
	} {
		if got, ok := picture.Sniff([]byte(data)); got != want || !ok {
			t.Errorf("%q is %q, want %s", data, got, want)
		}
	}
	for _, data := range []string{
		"", "\x89PNG", "<html>", "RIFF\x10\x00\x00\x00WAVEfmt ", "GIF88a", "BM....", "%PDF-1.4", "<svg xmlns=", "\x00\x00\x00\x18ftypisom", "\xff\xd8",
		"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42avif",
	} {
		if got, ok := picture.Sniff([]byte(data)); ok {
			t.Errorf("%q is taken for %s", data, got)
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add(encodePNG(f, drawing(4, 4, 9)).Data)
	f.Add([]byte("\x00\x00\x00\x1cftypavif"))
	f.Add([]byte("RIFF\x10\x00\x00\x00WEBPVP8L\x05\x00\x00\x00\x2f\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		format, ok := picture.Sniff(data)
		if !ok {
			return
		}
		p, err := picture.Convert(picture.Picture{Format: format, Data: data}, picture.JPEG, 50)
		if got, ok := picture.Sniff(p.Data); err == nil && (!ok || got != picture.JPEG) {
			t.Errorf("converted into %q", got)
		}
	})
}

func BenchmarkConvert(b *testing.B) {
	p := encodePNG(b, drawing(2048, 2048, 20))
	for _, to := range []picture.Format{picture.JPEG, picture.WebP} {
		b.Run(string(to), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got, err := picture.Convert(p, to, 0)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(got.Data))/float64(len(p.Data)), "size/png")
			}
		})
	}
}
