package imagegen

import (
	"fmt"
	"strconv"
	"strings"
)

// sideStep is what every side is rounded to: latent image models draw in blocks of 8 pixels.
const sideStep = 8

// String returns the size as "WxH".
func (s Size) String() string { return strconv.Itoa(s.Width) + "x" + strconv.Itoa(s.Height) }

var signs = strings.NewReplacer("X", "x", "*", "x", "×", "x")

// ParseSize reads "WxH"; the sign between may be x, X, * or ×, with spaces around it. It checks no bounds.
func ParseSize(text string) (size Size, ok bool) {
	width, height, ok := strings.Cut(signs.Replace(text), "x")
	if !ok {
		return Size{}, false
	}
	w, okWidth := parseSide(width)
	h, okHeight := parseSide(height)
	if !okWidth || !okHeight {
		return Size{}, false
	}
	return Size{Width: w, Height: h}, true
}

// parseSide reads a positive number of pixels: digits alone, as a sign would be a mistake worth telling.
func parseSide(text string) (int, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	return int(n), err == nil && n > 0
}

// holdsSide reports whether a side is within the limits.
func (l Limits) holdsSide(side int) bool { return l.MinSide <= side && side <= l.MaxSide }

// holds reports whether both sides are within the limits.
func (l Limits) holds(s Size) bool { return l.holdsSide(s.Width) && l.holdsSide(s.Height) }

// sides returns the smallest and the largest side that can be drawn: multiples of 8 within the limits.
func (l Limits) sides() (smallest, largest int) {
	return (l.MinSide + sideStep - 1) / sideStep * sideStep, l.MaxSide / sideStep * sideStep
}

// round returns the size with both sides rounded to the nearest multiple of 8, halves up, within the limits.
func (l Limits) round(s Size) Size { return l.scale(s, 1, 1) }

// fit scales a size down until its longest side is at most longest, keeping its ratio as well as rounding allows.
// Zero means no bound; a smaller size is never scaled up.
func (l Limits) fit(s Size, longest int) Size {
	side := max(s.Width, s.Height)
	if longest == 0 || side <= longest {
		return l.round(s)
	}
	l.MaxSide = min(l.MaxSide, longest)
	return l.scale(s, longest, side)
}

// scale multiplies both sides by num/den and rounds once, so that no error adds up.
func (l Limits) scale(s Size, num, den int) Size {
	smallest, largest := l.sides()
	side := func(n int) int {
		rounded := (n*num + sideStep/2*den) / (sideStep * den) * sideStep
		return max(smallest, min(rounded, largest))
	}
	return Size{Width: side(s.Width), Height: side(s.Height)}
}

// sidesInWords returns the limits of a side for a message: "64 to 2048".
func (l Limits) sidesInWords() string { return fmt.Sprintf("%d to %d", l.MinSide, l.MaxSide) }
