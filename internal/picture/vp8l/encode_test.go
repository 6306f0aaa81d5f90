package vp8l_test

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/webp"

	"github.com/zimage-gateway/zimage-gateway/internal/picture/vp8l"
)

type painter func(r *rand.Rand, x, y int) color.NRGBA

func grey(v byte) color.NRGBA { return color.NRGBA{R: v, G: v, B: v, A: 255} }

var painters = map[string]painter{
	"black":       func(*rand.Rand, int, int) color.NRGBA { return grey(0) },
	"white":       func(*rand.Rand, int, int) color.NRGBA { return grey(255) },
	"clear":       func(*rand.Rand, int, int) color.NRGBA { return color.NRGBA{} },
	"clear white": func(*rand.Rand, int, int) color.NRGBA { return color.NRGBA{R: 255, G: 255, B: 255} },
	"gradient": func(_ *rand.Rand, x, y int) color.NRGBA {
		return color.NRGBA{R: byte(x), G: byte(y), B: byte(x + y), A: byte(x - y)}
	},
	"squares": func(_ *rand.Rand, x, y int) color.NRGBA { return grey(byte((x/7 + y/5) % 2 * 200)) },
	"opaque noise": func(r *rand.Rand, _, _ int) color.NRGBA {
		return color.NRGBA{R: byte(r.Uint32()), G: byte(r.Uint32()), B: byte(r.Uint32()), A: 255}
	},
	"noise": func(r *rand.Rand, _, _ int) color.NRGBA {
		return color.NRGBA{R: byte(r.Uint32()), G: byte(r.Uint32()), B: byte(r.Uint32()), A: byte(r.Uint32())}
	},
	"steep noise": func(r *rand.Rand, _, _ int) color.NRGBA { return grey(byte(r.ExpFloat64() * 2)) },
	"photo": func(r *rand.Rand, x, y int) color.NRGBA {
		v := 128 + 80*math.Sin(float64(x)*.05) + 40*math.Cos(float64(y)*.03) + r.NormFloat64()*2
		return color.NRGBA{R: byte(v), G: byte(v * .9), B: byte(v * .8), A: 255}
	},
}

// seeded returns the same numbers in every run.
func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) } //nolint:gosec // nothing here is secret

func paint(p painter, area image.Rectangle) *image.NRGBA {
	r := seeded()
	img := image.NewNRGBA(area)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			img.SetNRGBA(x, y, p(r, x, y))
		}
	}
	return img
}

// same encodes img, and reports what an independent reader makes of it.
func same(tb testing.TB, img *image.NRGBA) []byte {
	tb.Helper()
	data, err := vp8l.Encode(img)
	if err != nil {
		tb.Fatal(err)
	}
	decoded, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		tb.Fatalf("decode: %v", err)
	}
	got, ok := decoded.(*image.NRGBA)
	if !ok || got.Rect.Size() != img.Rect.Size() {
		tb.Fatalf("decoded a %T of %v", decoded, decoded.Bounds())
	}
	for y := range img.Rect.Dy() {
		n := 4 * img.Rect.Dx()
		if !bytes.Equal(got.Pix[y*got.Stride:][:n], img.Pix[y*img.Stride:][:n]) {
			tb.Fatalf("row %d differs", y)
		}
	}
	return data
}

func TestEncodeKeepsEveryPixel(t *testing.T) {
	t.Parallel()
	for name, p := range painters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []image.Point{
				{1, 1}, {2, 1}, {1, 2}, {3, 1}, {4, 1}, {5, 5}, {31, 33}, {32, 32}, {33, 1}, {1, 70}, {120, 200}, {40, 1500},
			} {
				same(t, paint(p, image.Rectangle{Max: size}))
			}
		})
	}
}

func TestEncodePartOfAPicture(t *testing.T) {
	t.Parallel()
	whole := paint(painters["gradient"], image.Rect(-5, -5, 60, 60))
	part, ok := whole.SubImage(image.Rect(3, 4, 40, 50)).(*image.NRGBA)
	if !ok {
		t.Fatal("not an NRGBA")
	}
	same(t, part)
}

// TestEncodeUnevenCounts has symbols as often as the Fibonacci numbers, which gives the deepest of all Huffman trees:
// deeper than the format allows.
func TestEncodeUnevenCounts(t *testing.T) {
	t.Parallel()
	var differences []byte
	for v, a, b := byte(0), 1, 1; len(differences)+a <= vp8l.MaxSide; v, a, b = v+1, b, a+b {
		differences = append(differences, bytes.Repeat([]byte{v}, a)...)
	}
	seeded().Shuffle(len(differences), func(i, j int) {
		differences[i], differences[j] = differences[j], differences[i]
	})
	// A single row is always predicted from the left. Red keeps neighbours from being equal, so there are no runs.
	img := image.NewNRGBA(image.Rect(0, 0, len(differences), 1))
	green := byte(0)
	for x, d := range differences {
		green += d
		img.SetNRGBA(x, 0, color.NRGBA{R: green + byte((x+1)/2%256), G: green, B: green, A: 255})
	}
	same(t, img)
}

func TestEncodeIsSmall(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int{"black": 400, "squares": 5_000, "photo": 60_000, "opaque noise": 200_000} {
		data := same(t, paint(painters[name], image.Rect(0, 0, 256, 256)))
		t.Logf("%s: %d bytes", name, len(data))
		if len(data) > most {
			t.Errorf("%s: %d bytes, want at most %d", name, len(data), most)
		}
	}
}

func TestEncodeRefusesSizes(t *testing.T) {
	t.Parallel()
	for _, area := range []image.Rectangle{{}, image.Rect(0, 0, 0, 5), image.Rect(0, 0, vp8l.MaxSide+1, 1), image.Rect(0, 0, 1, vp8l.MaxSide+1)} {
		if _, err := vp8l.Encode(image.NewNRGBA(area)); err == nil {
			t.Errorf("%v: no error", area)
		}
	}
	same(t, paint(painters["gradient"], image.Rect(0, 0, vp8l.MaxSide, 2)))
}

func FuzzEncode(f *testing.F) {
	f.Add(uint8(3), []byte("some pixels, a few of them the same, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
	f.Fuzz(func(t *testing.T, width uint8, pix []byte) {
		w := max(1, int(width))
		h := len(pix) / 4 / w
		if h == 0 || h > vp8l.MaxSide {
			return
		}
		same(t, &image.NRGBA{Pix: pix[:4*w*h], Stride: 4 * w, Rect: image.Rect(0, 0, w, h)})
	})
}

func BenchmarkEncode(b *testing.B) {
	img := paint(painters["photo"], image.Rect(0, 0, 2048, 2048))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := vp8l.Encode(img); err != nil {
			b.Fatal(err)
		}
	}
}
