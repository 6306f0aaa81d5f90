package worker

import (
	"math/rand/v2"
	"time"
)

const maxBackoff = 30 * time.Second

// backoff returns the pause after attempt (from 1): base doubled with each one, capped, and spread over its upper half
// so that pictures that failed together do not come back together. What the upstream asked for wins.
func backoff(base time.Duration, attempt int, asked time.Duration) time.Duration {
	if asked > 0 {
		return asked
	}
	d := maxBackoff
	if shift := attempt - 1; shift < 30 && base<<shift>>shift == base {
		d = min(base<<shift, maxBackoff)
	}
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreading load needs no secrecy
}
