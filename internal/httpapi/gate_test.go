package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// crowd sends so many requests at once, and returns how many got which status once all are answered.
func crowd(t *testing.T, h http.Handler, n int) map[int]int {
	t.Helper()
	replies := make([]*httptest.ResponseRecorder, n)
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() { replies[i] = send(t, h, "POST", "/v1/chat/completions", `{"prompt":"a"}`) })
	}
	all.Wait()
	count := map[int]int{}
	for _, w := range replies {
		count[w.Code]++
	}
	return count
}

// taking is a job service that takes so long to make a job, and fails where fail says so of the call with that number,
// from 1. most is how many it was making at once.
func taking(d time.Duration, fail func(call int64) bool) (jobs *fakeJobs, most func() int64) {
	var calls, now, peak atomic.Int64
	jobs = &fakeJobs{}
	jobs.submitFunc = func(_ context.Context, n job.New) (job.Submission, error) {
		call, busy := calls.Add(1), now.Add(1)
		defer now.Add(-1)
		for p := peak.Load(); busy > p && !peak.CompareAndSwap(p, busy); p = peak.Load() {
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		<-timer.C
		if fail(call) {
			return job.Submission{}, &imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: "away"}
		}
		return job.Submission{Job: newJob(n)}, nil
	}
	return jobs, peak.Load
}

// Thousands of callers at once are all served, however long the last one stands at the gate.
func TestCrowdIsServedInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs, most := taking(100*time.Millisecond, func(int64) bool { return false })
		if got := crowd(t, newServer(t, jobs), 2000); got[200] != 2000 {
			t.Errorf("got %v, want 2000 times 200", got)
		}
		if got := most(); got != 64 {
			t.Errorf("%d jobs were being made at once, want 64", got)
		}
	})
}

// One submission that fails while others are done is nobody else's business.
func TestCrowdOutlivesAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs, _ := taking(100*time.Millisecond, func(call int64) bool { return call == 100 })
		if got := crowd(t, newServer(t, jobs), 1000); got[200] != 999 || got[503] != 1 {
			t.Errorf("got %v, want 999 times 200 and 503 once", got)
		}
	})
}

// While Redis is away nobody waits longer for that news than the first one, and it is tried again after that.
func TestCrowdIsSentAwayWithoutRedis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		jobs, _ := taking(1500*time.Millisecond, func(int64) bool { return !back.Load() })
		s := newServer(t, jobs)
		began := time.Now()
		if got := crowd(t, s, 1000); got[503] != 1000 {
			t.Errorf("got %v, want 1000 times 503", got)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v to send all away", took)
		}
		back.Store(true)
		if got := crowd(t, s, 100); got[200] != 100 {
			t.Errorf("when Redis was back: got %v", got)
		}
	})
}

// Who goes away while it stands at the gate makes no job.
func TestGoneAtTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs, _ := taking(time.Minute, func(int64) bool { return false })
		s := newServer(t, jobs)
		var others sync.WaitGroup
		for range 64 {
			others.Go(func() { send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a"}`) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := request(t, "POST", "/v1/chat/completions", `{"prompt":"a"}`).WithContext(ctx)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		others.Wait()
		if len(jobs.made) != 64 || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%d jobs were made, want 64 (%v)", len(jobs.made), ctx.Err())
		}
	})
}
