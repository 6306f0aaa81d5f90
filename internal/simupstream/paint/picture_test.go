package paint_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream/paint"
)

func encoded(t *testing.T, p paint.Picture) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WritePNG(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decoded(t *testing.T, p paint.Picture) image.Image {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(encoded(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{64, 64}, {64, 2048}, {2048, 64}, {400, 304}, {304, 400}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			t.Parallel()
			for scene := range uint64(8) {
				p := paint.Picture{Width: size[0], Height: size[1], Scene: scene, Caption: "a cat 一只猫", Footnote: "seed 1"}
				if b := decoded(t, p).Bounds(); b.Dx() != size[0] || b.Dy() != size[1] {
					t.Errorf("got %v", b)
				}
			}
		})
	}
}

func TestSizesOutOfBounds(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{63, 64}, {64, 0}, {-1, 64}, {2049, 64}, {1 << 40, 1 << 40}} {
		if err := (paint.Picture{Width: size[0], Height: size[1]}).WritePNG(io.Discard); err == nil {
			t.Errorf("%v: got no error", size)
		}
	}
}

func TestTheSamePictureIsTheSameBytes(t *testing.T) {
	t.Parallel()
	p := paint.Picture{Width: 320, Height: 240, Scene: 5, Caption: "一只可爱的小狗 and a cat", Footnote: "seed 5"}
	first := encoded(t, p)
	if !bytes.Equal(first, encoded(t, p)) {
		t.Error("drawn twice, it differs")
	}
	for name, change := range map[string]func(*paint.Picture){
		"scene":    func(p *paint.Picture) { p.Scene++ },
		"caption":  func(p *paint.Picture) { p.Caption = "一只可爱的小猫" },
		"footnote": func(p *paint.Picture) { p.Footnote = "seed 6" },
	} {
		q := p
		change(&q)
		if bytes.Equal(first, encoded(t, q)) {
			t.Errorf("another %s draws the same picture", name)
		}
	}
}

// white counts the pixels of the lettering's colour in the lower half.
func white(m image.Image) int {
	n := 0
	b := m.Bounds()
	for y := b.Dy() / 2; y < b.Dy(); y++ {
		for x := range b.Dx() {
			if r, g, bl, _ := m.At(x, y).RGBA(); r > 0xf000 && g > 0xf000 && bl > 0xf000 {
				n++
			}
		}
	}
	return n
}

func TestCaptionsShow(t *testing.T) {
	t.Parallel()
	for _, side := range []int{64, 256, 512} {
		for _, caption := range []string{"lamp", "灯塔", "ランプ", "램프", "лампа", "lámpara", "،مصباح"} {
			t.Run(fmt.Sprint(side, caption), func(t *testing.T) {
				t.Parallel()
				const dark = 4 // a scene without bright colours in its lower half
				p := paint.Picture{Width: side, Height: side, Scene: dark}
				without := white(decoded(t, p))
				p.Caption = caption
				// A letter covers some hundredths of its square.
				if got, want := white(decoded(t, p))-without, max(8, side*side/4000); got < want {
					t.Errorf("got %d white pixels more with the caption, want at least %d", got, want)
				}
			})
		}
	}
}

func TestCaptionsOfAnyKindAreDrawn(t *testing.T) {
	t.Parallel()
	for name, caption := range map[string]string{
		"nothing":           "",
		"spaces":            " \t\n　 ",
		"only emoji":        "🐶🐱👩‍👩‍👧",
		"no UTF-8":          "\xff\xfe",
		"control and marks": "\u202ea\u0301\u200bb\x00c",
		"one long word":     strings.Repeat("a", 5000),
		"long Chinese":      strings.Repeat("很长的提示词，", 500),
		"punctuation":       strings.Repeat("。，、", 300),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range [][2]int{{64, 64}, {64, 640}, {640, 64}, {320, 320}} {
				encoded(t, paint.Picture{Width: size[0], Height: size[1], Caption: caption, Footnote: caption})
			}
		})
	}
}

func BenchmarkWritePNG(b *testing.B) {
	for scene := range uint64(4) {
		b.Run(fmt.Sprint(scene), func(b *testing.B) {
			p := paint.Picture{Width: 2048, Height: 2048, Scene: scene, Caption: "一只可爱的小狗 under a maple tree, soft morning light", Footnote: "seed 1"}
			for b.Loop() {
				var out bytes.Buffer
				if err := p.WritePNG(&out); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(out.Len()), "bytes")
			}
		})
	}
}
