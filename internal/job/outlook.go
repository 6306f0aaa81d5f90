package job

import "time"

// Pace is how fast the workers draw. Its zero value means that nobody knows.
type Pace struct {
	Slots int           // calls at once over all workers
	Call  time.Duration // mean duration of a call lately
}

// Known reports whether there is anything to estimate with.
func (p Pace) Known() bool { return p.Slots > 0 && p.Call > 0 }

// Drain estimates how long n waiting pictures take to start.
func (p Pace) Drain(n int) time.Duration {
	if !p.Known() {
		return 0
	}
	return time.Duration(n) * p.Call / time.Duration(p.Slots)
}
