package vp8l

import "image"

const (
	tileBits = 5 // tiles of 32 by 32 pixels
	opaque   = 0xff000000
)

// modes are the predictors tried for each tile, by their number in the format.
var modes = [...]uint32{1, 2, 7, 11, 12}

// subtractGreen returns the pixels as 0xAARRGGBB with green taken from red and blue.
func subtractGreen(img *image.NRGBA) []uint32 {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	out := make([]uint32, 0, width*height)
	for y := range height {
		row := img.Pix[y*img.Stride:][:4*width]
		for i := 0; i < len(row); i += 4 {
			r, g, b, a := row[i], row[i+1], row[i+2], row[i+3]
			out = append(out, uint32(a)<<24|uint32(r-g)<<16|uint32(g)<<8|uint32(b-g))
		}
	}
	return out
}

// predict returns the mode of every tile, as the pixels of a small picture, and what every pixel differs from its
// prediction.
func predict(pixels []uint32, width, height int) (tiles, residuals []uint32) {
	const side = 1 << tileBits
	residuals = make([]uint32, len(pixels))
	for y := 0; y < height; y += side {
		for x := 0; x < width; x += side {
			t := tile{pixels: pixels, width: width, area: image.Rect(x, y, min(x+side, width), min(y+side, height))}
			mode := t.best()
			tiles = append(tiles, opaque|mode<<8)
			t.each(mode, 1, func(i int, d uint32) { residuals[i] = d })
		}
	}
	return tiles, residuals
}

// tile is a part of a picture that is predicted in one way.
type tile struct {
	pixels []uint32
	width  int
	area   image.Rectangle
}

// best returns the mode whose differences are the smallest. Every second row tells enough.
func (t tile) best() uint32 {
	mode, lowest := modes[0], -1
	for _, m := range modes {
		cost := 0
		t.each(m, 2, func(_ int, d uint32) { cost += magnitude(d) })
		if lowest < 0 || cost < lowest {
			mode, lowest = m, cost
		}
	}
	return mode
}

// each calls f with the index of every pixel, in every step-th row, and its difference from what mode predicts.
func (t tile) each(mode uint32, step int, f func(i int, difference uint32)) {
	for y := t.area.Min.Y; y < t.area.Max.Y; y += step {
		for x := t.area.Min.X; x < t.area.Max.X; x++ {
			i := y*t.width + x
			var guess uint32
			switch { // the edges have predictions of their own
			case x == 0 && y == 0:
				guess = opaque
			case y == 0:
				guess = t.pixels[i-1]
			case x == 0:
				guess = t.pixels[i-t.width]
			default:
				guess = predicted(mode, t.pixels[i-1], t.pixels[i-t.width], t.pixels[i-t.width-1])
			}
			f(i, subtract(t.pixels[i], guess))
		}
	}
}

// predicted returns what a mode makes of the pixels to the left, above, and above to the left.
func predicted(mode, left, top, corner uint32) uint32 {
	switch mode {
	case 1:
		return left
	case 2:
		return top
	case 7: // the mean of each channel
		return ((left^top)&0xfefefefe)>>1 + left&top
	case 11: // whichever of the two the gradient points to
		if distance(top, corner) < distance(left, corner) {
			return left
		}
		return top
	default: // 12: the gradient
		var out uint32
		for s := 0; s < 32; s += 8 {
			v := int(left>>s&0xff) + int(top>>s&0xff) - int(corner>>s&0xff)
			out |= uint32(max(0, min(v, 255))) << s
		}
		return out
	}
}

// subtract returns p minus q, each channel by itself and modulo 256.
func subtract(p, q uint32) uint32 {
	const odd, even = 0xff00ff00, 0x00ff00ff
	return (p&odd+even-q&odd)&odd | (p&even+odd-q&even)&even
}

// distance returns the sum of how far the channels are apart.
func distance(p, q uint32) int {
	sum := 0
	for s := 0; s < 32; s += 8 {
		d := int(p>>s&0xff) - int(q>>s&0xff)
		sum += max(d, -d)
	}
	return sum
}

// magnitude returns how far a difference is from zero.
func magnitude(d uint32) int {
	sum := 0
	for s := 0; s < 32; s += 8 {
		v := int(int8(d >> s)) //nolint:gosec // eight bits with a sign are meant
		sum += max(v, -v)
	}
	return sum
}
