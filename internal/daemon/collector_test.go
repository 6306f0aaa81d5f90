package daemon

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// The room for garbage follows what is alive, and whoever sets it himself keeps what he set.
//
//nolint:paralleltest // others' memory would count, and it is the whole process' setting
func TestCollectorIsThriftyWithALargeHeap(t *testing.T) {
	becomes := func(percent uint64) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); read("/gc/gogc:percent") != percent; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("got %d per cent of garbage, want %d", read("/gc/gogc:percent"), percent)
			}
			runtime.GC()
		}
	}
	stop := thrifty()
	large := make([]byte, 2*largeHeap)
	becomes(largePercent)
	runtime.KeepAlive(large) // and no longer
	becomes(smallPercent)
	stop()

	defer debug.SetGCPercent(debug.SetGCPercent(150))
	large = make([]byte, 2*largeHeap)
	stop = thrifty()
	for range 3 {
		runtime.GC()
	}
	runtime.KeepAlive(large)
	stop()
	if got := read("/gc/gogc:percent"); got != 150 {
		t.Errorf("what the environment says became %d", got)
	}
}
