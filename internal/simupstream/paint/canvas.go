package paint

import (
	"image"
	"image/color"
	"math"
)

// canvas is an opaque picture under the brush. Its loops write to Pix directly: a Set a pixel would take seconds.
type canvas struct{ *image.RGBA }

func (c *canvas) width() int  { return c.Rect.Dx() }
func (c *canvas) height() int { return c.Rect.Dy() }

// unit is the length that everything is measured by.
func (c *canvas) unit() float64 { return math.Sqrt(float64(c.width()) * float64(c.height())) }

// row returns the pixels x0 ≤ x < x1 of row y.
func (c *canvas) row(y, x0, x1 int) []uint8 { return c.Pix[y*c.Stride+4*x0 : y*c.Stride+4*x1] }

func put(px []uint8, v color.RGBA) { px[0], px[1], px[2], px[3] = v.R, v.G, v.B, 0xff }

// blend lays v over the pixel with alpha of 256 parts.
func blend(px []uint8, v color.RGBA, alpha int) {
	_ = px[3]
	px[0], px[1], px[2] = toward(px[0], v.R, alpha), toward(px[1], v.G, alpha), toward(px[2], v.B, alpha)
}

func toward(from, to uint8, alpha int) uint8 {
	return uint8(int(from) + (int(to)-int(from))*alpha>>8) //nolint:gosec // it lies between the two
}

// sky fills the canvas from the zenith down to the horizon.
func (c *canvas) sky(l look) {
	for y := range c.height() {
		t := float64(y) / float64(c.height()) * 1.35 // the horizon's colour is reached above the lower edge
		v := mix(l.zenith, l.middle, t*2)
		if t > 0.5 {
			v = mix(l.middle, l.horizon, t*2-1)
		}
		line := c.row(y, 0, c.width())
		put(line, v)
		for n := 4; n < len(line); n *= 2 {
			copy(line[n:], line[:n])
		}
	}
}

// disc lays a disc of colour v over the canvas: alpha at the centre, edge at the rim, and a glow that is gone at reach
// times the radius. Alphas are 0…1.
func (c *canvas) disc(cx, cy, radius, reach float64, v color.RGBA, centre, rim, glow float64) {
	outer := radius * max(reach, 1)
	const steps = 2048
	// By the square of the distance, so that no pixel needs a root.
	var alpha [steps + 1]int
	for i := range alpha {
		d := math.Sqrt(float64(i)/steps) * (outer + 1)
		body := centre + (rim-centre)*min(d/radius, 1)
		fade := 0.0
		if outer > radius && d < outer {
			fade = glow * math.Pow(1-max(d-radius, 0)/(outer-radius), 3)
		}
		inside := min(max(radius+0.5-d, 0), 1) // the rim is smoothed over a pixel
		alpha[i] = int(256 * (inside*body + (1-inside)*fade))
	}
	limit := (outer + 1) * (outer + 1)
	for y := max(0, int(cy-outer)); y < min(c.height(), int(cy+outer)+2); y++ {
		dy := float64(y) + 0.5 - cy
		half := math.Sqrt(max(limit-dy*dy, 0))
		x0, x1 := max(0, int(cx-half)), min(c.width(), int(cx+half)+1)
		if x0 >= x1 {
			continue
		}
		line := c.row(y, x0, x1)
		for i := 0; i < len(line); i += 4 {
			dx := float64(x0+i/4) + 0.5 - cx
			if a := alpha[min(int((dx*dx+dy*dy)/limit*steps), steps)]; a > 0 {
				blend(line[i:i+4], v, a)
			}
		}
	}
}
