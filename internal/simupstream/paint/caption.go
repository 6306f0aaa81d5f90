package paint

import (
	"image/color"
	"math"
	"slices"
	"unicode"
)

var (
	ink   = color.RGBA{R: 0xff, G: 0xff, B: 0xff, A: 0xff}
	faint = color.RGBA{R: 0xc8, G: 0xc8, B: 0xc8, A: 0xc8} // white, premultiplied
)

// caption writes the texts at the lower edge, over a shade that makes white letters legible on any scene.
func (c *canvas) caption(text, footnote string, shade color.RGBA) {
	const enough = 400 // characters; no picture has room for more
	if all := []rune(text); len(all) > enough {
		text = string(all[:enough])
	}
	u := c.unit()
	margin := max(3, math.Round(0.035*u))
	room := float64(c.width()) - 2*margin
	face, lines := fit(text, u, room, 0.55*float64(c.height()))
	small := newTypeface(0.02 * u)
	note := small.wrap(footnote, room)
	if len(note) > 1 || c.height() < 2*MinSide {
		note = nil
	}
	if len(lines)+len(note) == 0 {
		return
	}

	height := float64(len(lines))*face.lineHeight() + float64(len(note))*small.lineHeight()*1.15
	c.darken(float64(c.height())-height-margin, shade)
	baseline := float64(c.height()) - margin
	for _, line := range note {
		baseline -= 0.1 * small.size
		small.set(c, line, margin, baseline, faint)
		baseline -= small.lineHeight() * 1.15
	}
	baseline -= 0.12 * face.size
	for _, line := range slices.Backward(lines) {
		face.set(c, line, margin, baseline, ink)
		baseline -= face.lineHeight()
	}
}

// darken shades the picture from a little above top, where a text begins, to the lower edge.
func (c *canvas) darken(top float64, shade color.RGBA) {
	h := float64(c.height())
	start := max(0, top-1.2*(h-top))
	for y := int(start); y < c.height(); y++ {
		t := min((float64(y)-start)/max(top-start, 1), 1)
		alpha := int(256 * 0.78 * t * t * (3 - 2*t))
		line := c.row(y, 0, c.width())
		for i := 0; i < len(line); i += 4 {
			blend(line[i:i+4], shade, alpha)
		}
	}
}

// fit chooses the largest letters that take at most two lines, or the smallest and as many lines as there is room for.
func fit(text string, unit, width, height float64) (*typeface, [][]rune) {
	var face *typeface
	var lines [][]rune
	for _, share := range []float64{0.06, 0.045, 0.034} {
		face = newTypeface(share * unit)
		if lines = face.wrap(text, width); len(lines) <= 2 {
			return face, lines
		}
	}
	if most := max(1, int(height/face.lineHeight())); len(lines) > most {
		lines = lines[:most]
		last := lines[most-1]
		for len(last) > 0 && face.width(last)+face.width([]rune{'…'}) > width {
			last = last[:len(last)-1]
		}
		lines[most-1] = append(slices.Clip(last), '…')
	}
	return face, lines
}

// wrap breaks text into lines of at most width: at spaces, between characters that are written without them, and within
// a word where it alone is too long. Characters that no font has are left out.
func (t *typeface) wrap(text string, width float64) [][]rune {
	var lines [][]rune
	var line []rune
	used, breakable := 0.0, 0 // breakable: how much of the line can stay when the rest moves on
	for _, r := range text {
		if unicode.IsSpace(r) {
			r = ' '
		}
		a, ok := t.advance(r)
		if !ok || r == ' ' && len(line) == 0 {
			continue
		}
		if used+a > width && r != ' ' && len(line) > 0 {
			if breakable == 0 {
				breakable = len(line)
			}
			lines = append(lines, trimRight(line[:breakable]))
			line = append([]rune(nil), line[breakable:]...)
			used, breakable = t.width(line), 0
		}
		if isWide(r) && !unicode.IsPunct(r) && len(line) > 0 {
			breakable = len(line) // before it; punctuation stays with what it follows
		}
		line = append(line, r)
		used += a
		if r == ' ' || isWide(r) {
			breakable = len(line)
		}
	}
	if line = trimRight(line); len(line) > 0 {
		lines = append(lines, line)
	}
	return lines
}

func isWide(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r >= 0x3000 && r < 0x3040 || r >= 0xff00 && r < 0xfff0
}

func trimRight(line []rune) []rune {
	for len(line) > 0 && line[len(line)-1] == ' ' {
		line = line[:len(line)-1]
	}
	return line
}
