package daemon

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// Up to smallHeap of what is alive, garbage may take as much again before it is collected, as is Go's default. From
	// largeHeap on it may take only largePercent of that: with thousands of callers, what they cost would count double.
	// To be as tight with a small heap would save little, and cost a tenth more CPU time.
	smallHeap    = 16 << 20
	largeHeap    = 20 << 20
	smallPercent = 100
	largePercent = 40
)

// thrifty keeps the collector thrifty with memory until stop is called. It does nothing where the environment (GOGC,
// GOMEMLIMIT) says that it is to be other than Go's own.
func thrifty() (stop func()) {
	if read("/gc/gogc:percent") != smallPercent || read("/gc/gomemlimit:bytes") != math.MaxInt64 {
		return func() {}
	}
	var mu sync.Mutex
	stopped := false
	afterEach(func() (again bool) {
		mu.Lock()
		defer mu.Unlock()
		live, percent := read("/gc/heap/live:bytes"), read("/gc/gogc:percent")
		switch {
		case stopped:
		case live >= largeHeap && percent != largePercent:
			debug.SetGCPercent(largePercent)
		case live < smallHeap && percent != smallPercent:
			debug.SetGCPercent(smallPercent)
		}
		return !stopped
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		debug.SetGCPercent(smallPercent)
	}
}

// cycle is an object that nothing holds, so that each collection finds it.
type cycle struct{ then func() bool }

// afterEach calls f after each collection, as long as it returns true.
func afterEach(f func() (again bool)) {
	runtime.SetFinalizer(&cycle{f}, (*cycle).over)
}

func (c *cycle) over() {
	if c.then() {
		runtime.SetFinalizer(c, (*cycle).over)
	}
}

// read returns one number that the runtime tells of itself.
func read(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
