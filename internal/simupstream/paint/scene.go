package paint

import (
	"image/color"
	"math"
	"math/rand/v2"
)

// landscape draws a sun or moon behind ranges of hills that grow darker towards the viewer.
func (c *canvas) landscape(l look, dice *rand.Rand) {
	w, h, u := float64(c.width()), float64(c.height()), c.unit()
	if l.night {
		c.stars(l, dice)
	}
	radius := u * (0.05 + 0.06*dice.Float64())
	c.disc(w*(0.2+0.6*dice.Float64()), h*(0.2+0.22*dice.Float64()), radius, 5+2*dice.Float64(), l.light, 1, 0.96, 0.5)

	ranges := 4 + dice.IntN(4)
	shape := []func(*rand.Rand, float64, float64) func(float64) float64{hills, peaks, dunes}[dice.IntN(3)]
	top := h * (0.45 + 0.1*dice.Float64())
	crests := make([][]float64, ranges+1)
	for i := range ranges {
		depth := float64(i) / float64(ranges-1)
		base := top + (h*0.9-top)*math.Pow(depth, 1.15)
		crest := shape(dice, u*(0.35+0.5*depth), u*(0.05+0.035*depth))
		crests[i] = make([]float64, c.width())
		for x := range crests[i] {
			crests[i][x] = base - crest(float64(x))
		}
	}
	crests[ranges] = make([]float64, c.width())
	for x := range crests[ranges] {
		crests[ranges][x] = h
	}
	for i := range ranges {
		depth := float64(i) / float64(ranges-1)
		body := mix(l.far, l.near, math.Pow(depth, 0.9))
		mist := mix(body, l.horizon, 0.45*(1-depth)+0.08)
		c.fill(crests[i], crests[i+1], body, mist, h/float64(ranges)*0.9)
	}
}

// fill paints a range of hills from its crest down to the crest of the next one, in a colour that turns to mist over the
// given height.
func (c *canvas) fill(crest, next []float64, body, mist color.RGBA, height float64) {
	highest, lowest := math.Inf(1), 0.0
	for x := range crest {
		highest, lowest = min(highest, crest[x]), max(lowest, next[x])
	}
	for y := max(0, int(highest)-1); y < min(c.height(), int(lowest)+2); y++ {
		v := mix(body, mist, (float64(y)-highest)/height)
		line := c.row(y, 0, c.width())
		fy := float64(y)
		for x := range crest {
			cover := fy + 1 - crest[x]
			switch {
			case cover <= 0 || fy > next[x]+1: // the sky, or hidden
			case cover >= 1:
				put(line[4*x:4*x+4], v)
			default:
				blend(line[4*x:4*x+4], v, int(256*cover))
			}
		}
	}
}

// hills are sums of slow waves of the given length, up to about height above and below their base.
func hills(dice *rand.Rand, length, height float64) func(float64) float64 {
	a, b, c := dice.Float64()*7, dice.Float64()*7, dice.Float64()*7
	k := 2 * math.Pi / length * (0.55 + 0.3*dice.Float64())
	return func(x float64) float64 {
		return height * (0.6*math.Sin(k*x+a) + 0.3*math.Sin(1.9*k*x+b) + 0.1*math.Sin(4.3*k*x+c))
	}
}

// peaks are folded waves: pointed at the top, with smaller ones on their flanks.
func peaks(dice *rand.Rand, length, height float64) func(float64) float64 {
	a, b, c := dice.Float64()*7, dice.Float64()*7, dice.Float64()*7
	k := math.Pi / length * (0.8 + 0.5*dice.Float64())
	fold := func(t float64) float64 { return 1 - 2*math.Abs(math.Mod(math.Abs(t)/math.Pi, 2)-1) }
	return func(x float64) float64 {
		return height * (0.85*fold(k*x+a) + 0.4*fold(2.6*k*x+b) + 0.12*fold(7.3*k*x+c))
	}
}

// dunes rise slowly and fall fast.
func dunes(dice *rand.Rand, length, height float64) func(float64) float64 {
	a, b := dice.Float64()*7, dice.Float64()*7
	k := 2 * math.Pi / length * (0.5 + 0.3*dice.Float64())
	return func(x float64) float64 {
		t := k*x + a
		return height * (0.75*math.Sin(t+0.55*math.Sin(t)) + 0.2*math.Sin(2.3*k*x+b))
	}
}

// stars are few and small, more of them towards the zenith.
func (c *canvas) stars(l look, dice *rand.Rand) {
	for range 90 {
		depth := dice.Float64()
		size := c.unit() * (0.0006 + 0.0011*dice.Float64()*dice.Float64())
		x, y := dice.Float64()*float64(c.width()), depth*depth*0.6*float64(c.height())
		c.disc(x, y, max(size, 0.5), 4, l.light, 0.9*(1-depth/2), 0.8*(1-depth/2), 0.25)
	}
}

// orbs draws translucent discs that float over one another.
func (c *canvas) orbs(l look, dice *rand.Rand) {
	w, h, u := float64(c.width()), float64(c.height()), c.unit()
	colours := []color.RGBA{l.light, l.light, l.horizon, l.middle, mix(l.far, l.near, 0.25)}
	for range 9 + dice.IntN(6) {
		radius := u * (0.05 + 0.2*dice.Float64()*dice.Float64())
		v := colours[dice.IntN(len(colours))]
		strength := 0.25 + 0.3*dice.Float64()
		c.disc(w*dice.Float64(), h*dice.Float64(), radius, 1.25, v, strength*0.55, strength, 0.12)
	}
}
