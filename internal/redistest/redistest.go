// Package redistest gives tests a Redis to run on.
//
// [URL] hands out a logical database of a real server that all tests of one binary share, [Start] a server process of
// the test's own for faults and server-wide settings, [Mini] an embedded imitation, and [Both] runs a test on the
// imitation and on the real thing. A real server is looked for in this order: TEST_REDIS_URL, a redis-server on PATH,
// Docker. A test that needs one and finds none is skipped and says why; with CI=true it fails.
//
// A package that uses URL, Both or Start calls [Main] from its TestMain, so that no server outlives its tests.
//
// Databases separate keys only. Pub/Sub channels, loaded scripts, CONFIG and the counters of INFO belong to the whole
// server: tests that depend on these take a server of their own, or channel names of their own.
package redistest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"
)

// errNone reports that this machine has no real Redis to offer.
var errNone = errors.New("no real Redis: set TEST_REDIS_URL, put redis-server on PATH, or start Docker")

// errNoBinary reports that there is no server that a test may freeze and kill.
var errNoBinary = errors.New("no redis-server on PATH, which this test stops and starts: neither TEST_REDIS_URL nor Docker will do")

// Main runs the tests of a package, stops the shared server, fails if goroutines are left over, and exits. It is called
// from TestMain; opts tell goleak what to overlook.
func Main(m *testing.M, opts ...goleak.Option) {
	goleak.VerifyTestMain(stopping{m}, append(opts, dockerGoroutines()...)...)
}

type stopping struct{ m *testing.M }

func (s stopping) Run() int {
	code := s.m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "redistest: stop the shared server:", err)
		return max(code, 1)
	}
	return code
}

// URL returns the URL of an empty logical database that no other test uses until t ends.
func URL(tb testing.TB) string {
	tb.Helper()
	base, err := shared.open()
	if err != nil {
		unavailable(tb, err)
	}
	return takeDatabase(tb, base)
}

// Mini returns the URL of a miniredis of the test's own, whose keys expire by the wall clock.
func Mini(tb testing.TB) string {
	tb.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true) // before the start: it is not guarded against requests under way
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		tb.Fatalf("start miniredis: %v", err)
	}
	tb.Cleanup(m.Close)
	return "redis://" + m.Addr() + "/0"
}

// Both runs test twice, in parallel subtests: on miniredis and on a real Redis.
func Both(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		test(t, Mini(t))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, URL(t))
	})
}

// unavailable ends a test that cannot have the server it needs: a machine without one skips, a broken one fails.
func unavailable(tb testing.TB, err error) {
	tb.Helper()
	if (errors.Is(err, errNone) || errors.Is(err, errNoBinary)) && os.Getenv("CI") != "true" {
		tb.Skipf("skipped: %v", err)
	}
	tb.Fatalf("a real Redis is needed: %v", err)
}
