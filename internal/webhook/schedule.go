package webhook

import (
	"math/rand/v2"
	"time"
)

const (
	firstDelay = 5 * time.Second
	maxDelay   = time.Hour
	jitter     = 10 // the part of a delay that is added at most is one in so many
)

// GiveUp is how long after a job's end its event is still tried: no try is planned for later.
const GiveUp = 24 * time.Hour

// Delay returns the pause after a try that failed; the first is 1. It is 5 s, 10 s, 20 s, doubling up to an hour, and up
// to a tenth longer, so that events that failed together do not come back together. In [GiveUp] there are about 33 tries.
func Delay(try int) time.Duration {
	d := firstDelay
	for ; try > 1 && d < maxDelay; try-- {
		d *= 2
	}
	d = min(d, maxDelay)
	return d + rand.N(d/jitter+1) //nolint:gosec // spreading load needs no secrecy
}
