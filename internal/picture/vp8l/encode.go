package vp8l

import (
	"encoding/binary"
	"errors"
	"image"
	"math/bits"
)

// MaxSide is the greatest width and height of a picture.
const MaxSide = 16383

// Transforms are written in the order in which they are applied; readers undo them backwards.
const (
	transformPredict  = 0
	transformSubGreen = 2
)

// Encode returns img as a WebP file, with every pixel as it is.
func Encode(img *image.NRGBA) ([]byte, error) {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	if width < 1 || height < 1 || width > MaxSide || height > MaxSide {
		return nil, errors.New("webp: each side must be 1 to 16383 pixels")
	}
	w := &bitWriter{out: make([]byte, 0, width*height)}
	w.out = append(w.out, "RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00"...) // the sizes come last
	w.bits(0x2f, 8)
	w.bits(uint32(width-1), 14)
	w.bits(uint32(height-1), 14)
	if img.Opaque() {
		w.bits(0, 1)
	} else {
		w.bits(1, 1)
	}
	w.bits(0, 3) // version

	w.bits(1, 1)
	w.bits(transformSubGreen, 2)
	pixels := subtractGreen(img)
	w.bits(1, 1)
	w.bits(transformPredict, 2)
	modes, residuals := predict(pixels, width, height)
	w.bits(tileBits-2, 3)
	w.bits(0, 1) // no colour cache
	w.image(modes)
	w.bits(0, 1) // no more transforms

	w.bits(0, 1) // no colour cache
	w.bits(0, 1) // one set of codes for the whole picture
	w.image(residuals)
	return finish(w.flush()), nil
}

// finish fills in the sizes. A chunk of odd length is followed by a byte that its size does not count.
func finish(file []byte) []byte {
	const riff, vp8l = 8, 20                                             // where what the two sizes count begins
	binary.LittleEndian.PutUint32(file[vp8l-4:], uint32(len(file)-vp8l)) //nolint:gosec // MaxSide keeps it below 2^31
	if len(file)%2 != 0 {
		file = append(file, 0)
	}
	binary.LittleEndian.PutUint32(file[riff-4:], uint32(len(file)-riff)) //nolint:gosec // the same
	return file
}

const (
	literals    = 256
	lengthCodes = 24 // follow the literals in the alphabet of green
	minRun      = 3
	maxRun      = 4096
	// leftPixel is the distance symbol for the pixel to the left, the only distance there is here.
	leftPixel = 1
)

// image writes entropy-coded pixels: five codes, then the pixels in them.
func (w *bitWriter) image(pixels []uint32) {
	var green [literals + lengthCodes]int
	var red, blue, alpha [literals]int
	var distance [40]int
	tokens(pixels, func(p uint32) {
		green[p>>8&0xff]++
		red[p>>16&0xff]++
		blue[p&0xff]++
		alpha[p>>24]++
	}, func(n int) {
		symbol, _, _ := lengthSymbol(n)
		green[literals+symbol]++
		distance[leftPixel]++
	})
	// The first pixel is always a literal, so a code of one symbol is one below 256, as its short form needs.
	g, r, b, a, d := newCode(green[:]), newCode(red[:]), newCode(blue[:]), newCode(alpha[:]), newCode(distance[:])
	for _, c := range []code{g, r, b, a, d} {
		w.code(c)
	}
	tokens(pixels, func(p uint32) {
		w.symbol(g, int(p>>8&0xff))
		w.symbol(r, int(p>>16&0xff))
		w.symbol(b, int(p&0xff))
		w.symbol(a, int(p>>24))
	}, func(n int) {
		symbol, extra, count := lengthSymbol(n)
		w.symbol(g, literals+symbol)
		w.bits(extra, count)
		w.symbol(d, leftPixel)
	})
}

// tokens calls literal for each pixel that is written by itself, and run for n pixels like the one before them.
func tokens(pixels []uint32, literal func(p uint32), run func(n int)) {
	for i := 0; i < len(pixels); {
		n := 0
		for i > 0 && n < maxRun && i+n < len(pixels) && pixels[i+n] == pixels[i-1] {
			n++
		}
		if n >= minRun {
			run(n)
			i += n
			continue
		}
		literal(pixels[i])
		i++
	}
}

// lengthSymbol returns the symbol of a run's length, and the bits that tell apart the lengths that share it.
func lengthSymbol(n int) (symbol int, extra uint32, count uint) {
	if n <= 4 {
		return n - 1, 0, 0
	}
	n--
	top := bits.Len(uint(n)) - 1
	symbol = 2*top + n>>(top-1)&1
	return symbol, uint32(n) & (1<<(top-1) - 1), uint(top - 1) //nolint:gosec // n is at most maxRun
}
