package admin

import (
	"net/http"
	"net/http/pprof"
	"runtime"
	"sync"
	"time"
)

const (
	// blockSample is how long goroutines wait in all for each event that a block profile has of them, on average.
	blockSample = 10 * time.Microsecond
	// mutexSample is of how many waits for a mutex one is in a mutex profile.
	mutexSample = 5
)

// onDemand serves a profile of what the runtime takes no note of by itself, as that costs CPU time: it does while at least one
// such profile with ?seconds=N is being taken. Without seconds a profile is of what was noted before.
func onDemand(name string, note func(on bool)) http.Handler {
	profile := pprof.Handler(name)
	var mu sync.Mutex
	running := 0
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		running += by
		note(running > 0)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("seconds") != "" {
			count(1)
			defer count(-1)
		}
		profile.ServeHTTP(w, r)
	})
}

func noteBlocking(on bool) {
	if on {
		runtime.SetBlockProfileRate(int(blockSample.Nanoseconds()))
	} else {
		runtime.SetBlockProfileRate(0)
	}
}

func noteMutexes(on bool) {
	if on {
		runtime.SetMutexProfileFraction(mutexSample)
	} else {
		runtime.SetMutexProfileFraction(0)
	}
}
