package paint

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
)

// The sides that can be drawn, in pixels.
const (
	MinSide = 64
	MaxSide = 2048
)

// Picture says what is drawn.
type Picture struct {
	Width, Height int    // pixels
	Scene         uint64 // chooses everything but the text
	Caption       string // in large letters; cut where it is too long for the picture
	Footnote      string // in small letters; left out where there is no room
}

// WritePNG draws the picture and writes it to w. It fails if a side is out of bounds, or w does.
func (p Picture) WritePNG(w io.Writer) error {
	if min(p.Width, p.Height) < MinSide || max(p.Width, p.Height) > MaxSide {
		return fmt.Errorf("a picture of %d by %d: sides are %d to %d pixels", p.Width, p.Height, MinSide, MaxSide)
	}
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(w, p.draw()); err != nil {
		return fmt.Errorf("encode picture: %w", err)
	}
	return nil
}

func (p Picture) draw() *image.RGBA {
	dice := rand.New(rand.NewPCG(p.Scene, 0x5eed)) //nolint:gosec // the same scene must come out of the same number
	c := &canvas{RGBA: image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))}
	look := looks[dice.IntN(len(looks))]
	c.sky(look)
	if dice.IntN(4) == 0 {
		c.orbs(look, dice)
	} else {
		c.landscape(look, dice)
	}
	c.caption(p.Caption, p.Footnote, mix(look.near, rgb(0x05, 0x05, 0x0c), 0.45))
	return c.RGBA
}
