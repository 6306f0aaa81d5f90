package simupstream_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

func TestFaultsOnTheWire(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		behaviour simupstream.Behaviour
		want      imagegen.Outcome
		cause     error
	}{
		"a status":       {simupstream.Decline(503, "down \"for\" good"), imagegen.OutcomeStatus, nil},
		"a busy text":    {simupstream.Decline(200, "服务器繁忙"), imagegen.OutcomeRateLimited, nil},
		"a body":         {simupstream.Behaviour{Body: "<html>"}, imagegen.OutcomeMalformed, nil},
		"an empty body":  {simupstream.Behaviour{Status: 200}, imagegen.OutcomeMalformed, nil},
		"reset":          {simupstream.Behaviour{Fault: simupstream.FaultReset}, imagegen.OutcomeNetwork, syscall.ECONNRESET},
		"cut off":        {simupstream.Behaviour{Fault: simupstream.FaultCut}, imagegen.OutcomeNetwork, nil},
		"hang":           {simupstream.Behaviour{Fault: simupstream.FaultHang}, imagegen.OutcomeCancelled, nil},
		"a long latency": {simupstream.Behaviour{Latency: time.Hour}, imagegen.OutcomeCancelled, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, _, client := start(t, simupstream.Config{Behave: func(simupstream.Request) simupstream.Behaviour {
				if c.want == imagegen.OutcomeCancelled {
					cancel()
				}
				return c.behaviour
			}})
			_, err := client.Generate(ctx, cat)
			e, ok := errors.AsType[*imagegen.CallError](err)
			if !ok || e.Outcome != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("got %v, want %v", err, c.cause)
			}
			waitIdle(t, s)
		})
	}
}

// waitIdle waits until the server has noticed that its clients are gone.
func waitIdle(t *testing.T, s *simupstream.Server) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.InFlight() > 0 {
		select {
		case <-deadline:
			t.Fatalf("%d calls are still in flight", s.InFlight())
		case <-tick.C:
		}
	}
}

func TestHeadersOfABehaviour(t *testing.T) {
	t.Parallel()
	_, base, _ := start(t, simupstream.Config{Behave: func(simupstream.Request) simupstream.Behaviour {
		return simupstream.Behaviour{Status: 429, Body: "slow", Header: http.Header{"retry-after": {"7"}, "Content-Type": {"text/plain"}}}
	}})
	page := fetch(t, http.MethodPost, base+simupstream.GeneratePath, "{}")
	got := []string{page.header.Get("Retry-After"), page.header.Get("Content-Type"), string(page.body)}
	if diff := cmp.Diff([]string{"7", "text/plain", "slow"}, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestTheSameCallsFailWithTheSameSeed(t *testing.T) {
	t.Parallel()
	const calls = 200
	run := func(seed uint64) (outcomes []imagegen.Outcome, failed int) {
		_, _, client := start(t, simupstream.Config{FailureRate: 0.25, Seed: seed})
		for range calls {
			_, err := client.Generate(t.Context(), cat)
			outcome := imagegen.OutcomeOK
			if e, ok := errors.AsType[*imagegen.CallError](err); ok {
				outcome = e.Outcome
				failed++
			}
			outcomes = append(outcomes, outcome)
		}
		return outcomes, failed
	}
	first, failed := run(7)
	if failed < calls/8 || failed > calls*3/8 {
		t.Errorf("got %d failures in %d calls, want about a quarter", failed, calls)
	}
	again, _ := run(7)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("outcomes (-first +again):\n%s", diff)
	}
	if other, _ := run(8); cmp.Equal(first, other) {
		t.Error("another seed let the same calls fail")
	}
}

func TestLatencyAndOccupancy(t *testing.T) {
	t.Parallel()
	// Time in memory: the handler is called without a network.
	synctest.Test(t, func(t *testing.T) {
		s := simupstream.New(simupstream.Config{
			Latency: 10 * time.Second, Jitter: 2 * time.Second,
			Behave: func(r simupstream.Request) simupstream.Behaviour {
				return simupstream.Behaviour{Latency: time.Duration(r.Call/4) * time.Second} // call 4 takes 1 s
			},
		})
		call := func() time.Duration {
			begin := time.Now()
			body := `{"prompt":"a","width":64,"height":64,"steps":1}`
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, simupstream.GeneratePath, strings.NewReader(body)))
			if w.Code != http.StatusOK {
				t.Errorf("got HTTP %d", w.Code)
			}
			return time.Since(begin)
		}
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				if d := call(); d < 8*time.Second || d > 12*time.Second {
					t.Errorf("got a latency of %v, want 10 s give or take 2 s", d)
				}
			})
		}
		group.Wait()
		if d := call(); d != time.Second {
			t.Errorf("got a latency of %v, want the call's own", d)
		}
		got := s.Occupancy()
		if len(got) != 4 || got[3] < 8*time.Second || got[1] < time.Second || got[0] != 0 || s.MaxInFlight() != 3 {
			t.Errorf("got %v and at most %d, want 3 calls at once for 8 s and one for a second", got, s.MaxInFlight())
		}
	})
}
