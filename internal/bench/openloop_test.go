package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// snooze sleeps on the test's clock.
func snooze(d time.Duration) { <-time.After(d) }

func TestCallsAreHandedOutWhenDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := schedule{start: time.Now().Add(time.Second), every: 10 * time.Millisecond, calls: 5}
		want := 0
		for n := range s.pace(t.Context(), snooze) {
			if n != want || !time.Now().Equal(s.due(n)) {
				t.Errorf("call %d came at %v, want call %d at %v", n, time.Now(), want, s.due(want))
			}
			want++
		}
		if want != s.calls {
			t.Errorf("%d calls, want %d", want, s.calls)
		}
	})
}

func TestSlowCallersDoNotHoldTheScheduleUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := schedule{start: time.Now(), every: 10 * time.Millisecond, calls: 100}
		due := s.pace(t.Context(), snooze)
		<-due
		snooze(10 * time.Second) // the one caller is busy all the while
		synctest.Wait()
		if got := len(due); got != s.calls-1 {
			t.Errorf("%d calls are waiting, want all the %d that were due", got, s.calls-1)
		}
		if late := time.Since(s.due(<-due)); late != 10*time.Second-s.every {
			t.Errorf("the first of them is %v late, want what it waited", late)
		}
	})
}

func TestScheduleEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		due := schedule{start: time.Now(), every: time.Second, calls: 1000}.pace(ctx, snooze)
		<-due
		cancel()
		for range due {
			t.Error("a call was handed out after the end")
		}
	})
}

func TestOpenLoopCountsTheWaitBehindSlowCalls(t *testing.T) {
	t.Parallel()
	const stall, every, calls = 200 * time.Millisecond, 10 * time.Millisecond, 10
	first := make(chan struct{}, 1)
	first <- struct{}{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-first:
			<-time.After(stall)
		default:
		}
		_, _ = io.WriteString(w, "picture")
	}))
	t.Cleanup(server.Close)
	o, err := openLoop(t.Context(), newGet(server.Listener.Addr().String(), "/", "key", "picture"), unconnected(1),
		schedule{every: every, calls: calls})
	if err != nil || o.errors != 0 || len(o.samples) != calls {
		t.Fatalf("%d calls, %d errors: %v %v", len(o.samples), o.errors, o.first, err)
	}
	// One caller, whose first call stalls: the second was due while it did, and waited for most of the stall.
	if o.samples[1] < stall-every-every/2 {
		t.Errorf("the call behind the one that stalled for %v took %v", stall, o.samples[1])
	}
}
