package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.pass() // open
		g.hold()
		passed := make(chan time.Time, 10)
		var calls sync.WaitGroup
		calls.Go(func() {
			for range 4 {
				g.pass()
				passed <- time.Now()
				snooze(time.Second)
			}
		})
		synctest.Wait()
		if len(passed) != 0 {
			t.Fatal("a call passed that is held")
		}
		gaps := g.grant(t.Context(), 3)
		if len(gaps) != 2 || gaps[0] != time.Second || gaps[1] != time.Second {
			t.Errorf("the times between three calls are %v", gaps)
		}
		snooze(time.Minute)
		if len(passed) != 3 {
			t.Errorf("%d calls passed, want the 3 granted", len(passed))
		}
		g.release()
		synctest.Wait()
		if len(passed) != 4 {
			t.Error("a call is held by an open gate")
		}
		calls.Wait()
	})
}

func TestGrantEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if gaps := g.grant(ctx, 1); gaps != nil {
			t.Errorf("got %v of no calls", gaps)
		}
	})
}
