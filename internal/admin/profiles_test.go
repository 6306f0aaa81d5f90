package admin_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/admin"
)

func TestWaitsAreNotedWhileAProfileOfThemIsTaken(t *testing.T) { //nolint:paralleltest // the rates are the process'
	h := admin.New(admin.Config{Metrics: metrics})
	for _, name := range []string{"block", "mutex"} {
		noted := func() string {
			_, all := do(t, h, "GET", "/debug/pprof/"+name+"?debug=1")
			return all
		}
		before := noted()
		contend(func() {})
		if noted() != before {
			t.Errorf("%s notes waits that nobody asked for", name)
		}
		contend(func() {
			if status, _ := do(t, h, "GET", "/debug/pprof/"+name+"?seconds=1"); status != 200 {
				t.Errorf("%s gives %d", name, status)
			}
		})
		after := noted()
		if after == before {
			t.Errorf("%s has not noted who waited", name)
		}
		contend(func() {})
		if noted() != after {
			t.Errorf("%s goes on noting waits", name)
		}
	}
}

// contend lets goroutines wait for a mutex, and for each other, until f returns and at least a few times.
func contend(f func()) {
	const times = 1000
	done := make(chan struct{})
	var mu sync.Mutex
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() {
			for n := 0; ; n++ {
				mu.Lock()
				runtime.Gosched() // the other one asks for it meanwhile
				mu.Unlock()
				select {
				case <-done:
					if n >= times {
						return
					}
				default:
				}
			}
		})
	}
	f()
	close(done)
	waiting.Wait()
}
