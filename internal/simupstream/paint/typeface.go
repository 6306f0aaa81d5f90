package paint

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"sync"

	"github.com/hajimehoshi/bitmapfont/v3"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// The bitmap font's cell: 12 pixels wide, 16 high, the baseline at 12.
const (
	cellWidth    = 12
	cellHeight   = 16
	cellBaseline = 12
)

// smallest is the size below which letters of the outline font are less clear than the bitmap font's own pixels.
const smallest = 17

var outlines = sync.OnceValues(func() (*sfnt.Font, error) { return opentype.Parse(gomedium.TTF) })

// typeface sets Latin, Greek and Cyrillic in an outline font, and what that lacks (Chinese, Japanese, Korean…) in a
// bitmap font whose pixels are smoothed out to the size. It is for one drawing: the outline font's face is not safe for
// concurrent use.
type typeface struct {
	size    float64 // pixels
	parsed  *sfnt.Font
	face    font.Face // nil: everything comes from the bitmap font
	scratch sfnt.Buffer
	cells   map[rune]*image.Alpha // of the bitmap font; nil: it has none to show
}

func newTypeface(size float64) *typeface {
	t := &typeface{size: size, cells: map[rune]*image.Alpha{}}
	if size < smallest {
		t.size = cellWidth
		return t
	}
	parsed, err := outlines()
	if err != nil {
		return t // not met: the font is part of the program
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return t
	}
	t.parsed, t.face = parsed, face
	return t
}

// lineHeight is the distance between baselines.
func (t *typeface) lineHeight() float64 { return math.Round(t.size * 1.3) }

func (t *typeface) outlined(r rune) bool {
	if t.face == nil {
		return false
	}
	i, err := t.parsed.GlyphIndex(&t.scratch, r)
	return err == nil && i != 0
}

// advance returns how far r moves the pen, and false if no font has it.
func (t *typeface) advance(r rune) (float64, bool) {
	if t.outlined(r) {
		a, ok := t.face.GlyphAdvance(r)
		return float64(a) / 64, ok
	}
	cell := t.cell(r)
	if cell == nil {
		return 0, false
	}
	return float64(cell.Rect.Dx()) * t.size / cellWidth, true
}

// width is the length of a line.
func (t *typeface) width(line []rune) float64 {
	sum := 0.0
	for _, r := range line {
		a, _ := t.advance(r)
		sum += a
	}
	return sum
}

// set draws line from the pen's position on the baseline.
func (t *typeface) set(dst draw.Image, line []rune, x, baseline float64, v color.Color) {
	src := image.NewUniform(v)
	for _, r := range line {
		if t.outlined(r) {
			dot := fixed.Point26_6{X: fixed.Int26_6(x * 64), Y: fixed.Int26_6(baseline * 64)}
			if at, mask, from, _, ok := t.face.Glyph(dot, r); ok {
				draw.DrawMask(dst, at, src, image.Point{}, mask, from, draw.Over)
			}
		} else if cell := t.cell(r); cell != nil {
			mask := smooth(cell, t.size/cellWidth)
			at := image.Pt(int(math.Round(x)), int(math.Round(baseline-cellBaseline*t.size/cellWidth)))
			draw.DrawMask(dst, mask.Rect.Add(at), src, image.Point{}, mask, image.Point{}, draw.Over)
		}
		a, _ := t.advance(r)
		x += a
	}
}

// cell returns the pixels of r in the bitmap font, or nil if it has none to show.
func (t *typeface) cell(r rune) *image.Alpha {
	cell, known := t.cells[r]
	if !known {
		cell = bitmapCell(r)
		t.cells[r] = cell
	}
	return cell
}

func bitmapCell(r rune) *image.Alpha {
	at, mask, from, _, ok := bitmapfont.FaceSC.Glyph(fixed.P(0, cellBaseline), r)
	if !ok {
		return nil
	}
	cell := image.NewAlpha(image.Rect(0, 0, at.Dx(), cellHeight))
	draw.Draw(cell, cell.Rect, mask, from, draw.Src)
	isInk := func(px uint8) bool { return px != 0 }
	if r != ' ' && r != '\u3000' && !slices.ContainsFunc(cell.Pix, isInk) {
		return nil
	}
	return cell
}

// smooth enlarges a cell. Between pixels the cover is interpolated and cut off at a level, which rounds the corners off
// and turns staircases into slopes; at scale 1 the pixels stay as they are.
func smooth(cell *image.Alpha, scale float64) *image.Alpha {
	const level = 0.46 // below a half: thin strokes keep their weight
	if scale == 1 {
		return cell
	}
	w, h := int(math.Ceil(float64(cell.Rect.Dx())*scale)), int(math.Ceil(float64(cell.Rect.Dy())*scale))
	out := image.NewAlpha(image.Rect(0, 0, w, h))
	at := func(x, y int) float64 { return float64(cell.AlphaAt(x, y).A) / 255 } // zero outside
	for y := range h {
		fy := (float64(y)+0.5)/scale - 0.5
		y0 := int(math.Floor(fy))
		ty := fy - float64(y0)
		for x := range w {
			fx := (float64(x)+0.5)/scale - 0.5
			x0 := int(math.Floor(fx))
			tx := fx - float64(x0)
			cover := (at(x0, y0)*(1-tx)+at(x0+1, y0)*tx)*(1-ty) + (at(x0, y0+1)*(1-tx)+at(x0+1, y0+1)*tx)*ty
			out.Pix[y*out.Stride+x] = uint8(255 * min(max(0.5+(cover-level)*scale, 0), 1))
		}
	}
	return out
}
