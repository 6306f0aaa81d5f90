package hands_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/zimage-gateway/zimage-gateway/internal/hands"
)

// Goroutines that have nothing to do end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryFunctionRuns(t *testing.T) {
	t.Parallel()
	var ran atomic.Int32
	pool := hands.New()
	var callers, started sync.WaitGroup
	for range 100 {
		started.Add(1)
		callers.Go(func() { pool.Run(func() { ran.Add(1) }) })
		pool.Go(func() {
			defer started.Done()
			ran.Add(1)
		})
	}
	callers.Wait()
	started.Wait()
	if n := ran.Load(); n != 200 {
		t.Errorf("%d functions ran, want 200", n)
	}
}

func TestAPanicIsTheCallers(t *testing.T) {
	t.Parallel()
	pool := hands.New()
	defer func() {
		if p := recover(); p != "at the disco" {
			t.Errorf("recovered %v", p)
		}
		pool.Run(func() {}) // the next one runs all the same
	}()
	pool.Run(func() { panic("at the disco") })
}

// A goroutine that waits is not held up by one that runs long.
func TestFunctionsRunBesideEachOther(t *testing.T) {
	t.Parallel()
	pool, first, second := hands.New(), make(chan struct{}), make(chan struct{})
	pool.Go(func() {
		<-second
		close(first)
	})
	pool.Go(func() { close(second) })
	<-first
}

// deep needs 16 KiB of stack.
//
//go:noinline
func deep(n int) int {
	var page [1 << 10]byte
	page[n] = 1
	if n == 0 {
		return int(page[0])
	}
	return deep(n-1) + int(page[n])
}

func BenchmarkDeepCalls(b *testing.B) {
	b.Run("on used goroutines", func(b *testing.B) {
		pool := hands.New()
		for b.Loop() {
			pool.Run(func() { deep(16) })
		}
	})
	b.Run("on new goroutines", func(b *testing.B) {
		for b.Loop() {
			var done sync.WaitGroup
			done.Go(func() { deep(16) })
			done.Wait()
		}
	})
}
