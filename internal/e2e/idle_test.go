package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestIdleGatewayIsCheap(t *testing.T) {
	t.Parallel()
	rate := idleRate(t)
	t.Logf("%.1f commands a second", rate)
	if rate > 25 {
		t.Errorf("idle api and worker cost Redis %.1f commands a second, want at most 25", rate)
	}
}

// idleRate starts a gateway with default settings on a Redis of its own and counts commands for a while.
func idleRate(t testing.TB) float64 {
	t.Helper()
	server := redistest.Start(t, redistest.Options{})
	g := newGateway(t, setup{redisURL: server.URL()})
	admin := g.redis()
	count := func() int64 {
		stats, err := admin.InfoMap(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		var total int64
		for command, stat := range stats["Commandstats"] {
			var calls int64
			if _, err := fmt.Sscanf(stat, "calls=%d", &calls); err != nil {
				t.Fatalf("read the count of %s in %q: %v", command, stat, err)
			}
			total += calls
		}
		return total
	}
	const span = 12 * time.Second // longer than every interval that matters
	before, began := count(), time.Now()
	timer := time.NewTimer(span)
	defer timer.Stop()
	<-timer.C
	return float64(count()-before) / time.Since(began).Seconds()
}
