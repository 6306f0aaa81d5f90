package simupstream

import (
	"slices"
	"sync"
	"time"
)

const (
	defaultKept  = 1000
	maxKeptBytes = 16 << 20 // of bodies, whatever their number
)

// traffic counts and remembers calls.
type traffic struct {
	mu        sync.Mutex
	keep      int
	requests  []Request // the latest, oldest first
	keptBytes int
	calls     int
	inFlight  int
	most      int
	occupancy []time.Duration // by how many calls were in flight
	since     time.Time       // of the present level
}

func newTraffic(keep int) *traffic {
	if keep <= 0 {
		keep = defaultKept
	}
	return &traffic{keep: keep, since: time.Now()}
}

// enter counts a call in, and gives it its number.
func (t *traffic) enter(req *Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	req.Call = t.calls
	t.settle()
	t.inFlight++
	t.most = max(t.most, t.inFlight)
	t.requests = append(t.requests, *req)
	t.keptBytes += len(req.Raw)
	for len(t.requests) > t.keep || t.keptBytes > maxKeptBytes {
		t.keptBytes -= len(t.requests[0].Raw)
		t.requests[0] = Request{} // the array behind the slice must not hold on to it
		t.requests = t.requests[1:]
	}
}

// leave counts a call out.
func (t *traffic) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle()
	t.inFlight--
}

// settle books the time since the last change on the level that held. The caller has the lock.
func (t *traffic) settle() {
	now := time.Now()
	for len(t.occupancy) <= t.inFlight {
		t.occupancy = append(t.occupancy, 0)
	}
	t.occupancy[t.inFlight] += now.Sub(t.since)
	t.since = now
}

// Calls returns how many generate calls have arrived, refused ones included.
func (t *traffic) Calls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls
}

// InFlight returns how many generate calls are being answered.
func (t *traffic) InFlight() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inFlight
}

// MaxInFlight returns the most generate calls that were ever being answered at once.
func (t *traffic) MaxInFlight() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.most
}

// Occupancy returns for how long 0, 1, 2… generate calls were being answered at once, by that number.
func (t *traffic) Occupancy() []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle()
	return slices.Clone(t.occupancy)
}

// Requests returns the latest generate calls, oldest first. Their headers and bodies are shared and must not be changed.
func (t *traffic) Requests() []Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.requests)
}

// Reset forgets every call that has ended. Calls in flight stay counted as such.
func (t *traffic) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests, t.keptBytes, t.occupancy = nil, 0, nil
	t.calls, t.most, t.since = 0, t.inFlight, time.Now()
}
