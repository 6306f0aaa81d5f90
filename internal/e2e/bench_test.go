package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// BenchmarkAddedLatency measures what the gateway adds to a call: one at a time through api, Redis, worker and back, with
// an upstream that answers at once. Calls to that upstream without the gateway, in turn with the others, are the floor.
func BenchmarkAddedLatency(b *testing.B) {
	g := newGateway(b, setup{})
	prompt, err := json.Marshal(chat("a cat"))
	if err != nil {
		b.Fatal(err)
	}
	order := []byte(`{"prompt":"a cat","width":2048,"height":2048,"steps":8,"cfg":7,"model_index":5,"seed":1}`)
	direct, through := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
	for b.Loop() {
		direct = append(direct, post(b, g.upURL+simupstream.GeneratePath, upstreamKey, order))
		through = append(through, post(b, g.url+"/v1/chat/completions", clientKey, prompt))
	}
	report := func(quantile float64, name string) {
		d, t := at(direct, quantile), at(through, quantile)
		b.ReportMetric(float64(d.Microseconds())/1000, "direct-"+name+"-ms")
		b.ReportMetric(float64(t.Microseconds())/1000, "gateway-"+name+"-ms")
		b.ReportMetric(float64((t-d).Microseconds())/1000, "added-"+name+"-ms")
	}
	report(0.5, "median")
	report(0.99, "p99")
}

func post(b *testing.B, url, key string, body []byte) time.Duration {
	b.Helper()
	began := time.Now()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	reply, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %d %s (%v)", url, resp.StatusCode, reply, err)
	}
	return time.Since(began)
}

func at(d []time.Duration, quantile float64) time.Duration {
	slices.Sort(d)
	return d[int(float64(len(d)-1)*quantile)]
}

// BenchmarkIdle measures what an idle api and worker cost Redis, in commands a second as INFO counts them: those inside
// scripts too.
func BenchmarkIdle(b *testing.B) {
	rate := idleRate(b)
	for b.Loop() { // the rate is per second, whatever N is
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rate, "commands/s")
}

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
