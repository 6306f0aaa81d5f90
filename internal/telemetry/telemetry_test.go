package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/telemetry"
)

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log, err := telemetry.NewLogger(&b, "WARN", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("hidden")
	log.Warn("shown", slog.Int("n", 1))
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("not one line of JSON: %v: %s", err, b.String())
	}
	delete(got, "time")
	if diff := cmp.Diff(map[string]any{"level": "WARN", "msg": "shown", "n": 1.0}, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}

	b.Reset()
	log, err = telemetry.NewLogger(&b, "debug", "text")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("shown")
	if !strings.Contains(b.String(), "level=DEBUG msg=shown") {
		t.Errorf("line is %q", b.String())
	}
}

func TestNewLoggerRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range [][2]string{{"loud", "json"}, {"info", "xml"}, {"", "json"}} {
		if _, err := telemetry.NewLogger(nil, bad[0], bad[1]); err == nil {
			t.Errorf("level %q and format %q were taken", bad[0], bad[1])
		}
	}
}

// scrape returns the sample lines of the handler, without those of the buckets.
func scrape(t *testing.T, m *telemetry.Metrics) map[string]bool {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(rec.Body.String()) {
		lines[strings.TrimSpace(line)] = true
	}
	return lines
}

func TestMetricsAfterWork(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("v1.2.3")
	m.RegisterWaiters(func() int { return 7 })
	m.RequestDone("/v1/models", "GET", 200, 20*time.Millisecond)
	m.JobSubmitted("interactive")
	m.JobRefused("queue_full")
	m.JobJoined("key")
	m.JobFinished("completed", 2*time.Second)
	m.QueueWait("fast", 500*time.Microsecond)
	m.AttemptStarted("exacg")
	m.AttemptStarted("exacg")
	m.AttemptDone("exacg", "timeout", 12*time.Second)
	m.PictureRetried("exacg", "timeout")
	m.WebhookDone("delivered", 250*time.Millisecond)
	m.Panicked("task")
	lines := scrape(t, m)
	for _, want := range []string{
		`zimage_waiters 7`,
		`zimage_http_requests_total{method="GET",route="/v1/models",status="200"} 1`,
		`zimage_http_request_duration_seconds_sum{method="GET",route="/v1/models",status="200"} 0.02`,
		`zimage_jobs_submitted_total{class="interactive"} 1`,
		`zimage_jobs_refused_total{reason="queue_full"} 1`,
		`zimage_jobs_joined_total{by="key"} 1`,
		`zimage_jobs_finished_total{status="completed"} 1`,
		`zimage_job_duration_seconds_sum{status="completed"} 2`,
		`zimage_queue_wait_seconds_bucket{lane="fast",le="0.001"} 1`,
		`zimage_upstream_attempts_total{outcome="timeout",upstream="exacg"} 1`,
		`zimage_upstream_attempt_duration_seconds_sum{outcome="timeout",upstream="exacg"} 12`,
		`zimage_upstream_in_flight{upstream="exacg"} 1`,
		`zimage_upstream_retries_total{outcome="timeout",upstream="exacg"} 1`,
		`zimage_webhook_deliveries_total{outcome="delivered"} 1`,
		`zimage_webhook_delivery_duration_seconds_sum{outcome="delivered"} 0.25`,
		`zimage_panics_total{where="task"} 1`,
	} {
		if !lines[want] {
			t.Errorf("the scrape lacks %s", want)
		}
	}
	for line := range lines {
		if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "zimage_build_info") && !strings.Contains(name, `version="v1.2.3"`) {
			t.Errorf("the build information is %s", line)
		}
	}
}

func TestInitUpstreamStartsAtZero(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("dev")
	m.InitUpstream("exacg", 1)
	lines := scrape(t, m)
	for _, outcome := range []string{"ok", "refused", "auth", "quota", "rate_limited", "timeout", "network", "status", "malformed", "cancelled"} {
		if want := `zimage_upstream_attempts_total{outcome="` + outcome + `",upstream="exacg"} 0`; !lines[want] {
			t.Errorf("the scrape lacks %s", want)
		}
	}
	if !lines[`zimage_upstream_in_flight{upstream="exacg"} 0`] {
		t.Error("the scrape lacks the calls under way")
	}
}

func TestInitWebhooksStartsAtZero(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("dev")
	m.InitWebhooks()
	lines := scrape(t, m)
	for _, outcome := range []string{"delivered", "failed", "given_up"} {
		if want := `zimage_webhook_deliveries_total{outcome="` + outcome + `"} 0`; !lines[want] {
			t.Errorf("the scrape lacks %s", want)
		}
	}
}

func TestInitStoreStartsAtZero(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("dev")
	m.InitStore()
	m.PictureStored("fallback")
	lines := scrape(t, m)
	for place, count := range map[string]string{"bucket": "0", "redis": "0", "fallback": "1"} {
		if want := `zimage_pictures_stored_total{place="` + place + `"} ` + count; !lines[want] {
			t.Errorf("the scrape lacks %s", want)
		}
	}
}

// TestMetricNames keeps every series of ours under the prefix, beside those of Go, the process and the scrape itself.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("dev")
	m.InitUpstream("exacg", 1)
	seen := map[string]bool{}
	for line := range scrape(t, m) {
		for _, prefix := range []string{"zimage_", "go_", "process_", "promhttp_"} {
			if strings.HasPrefix(line, prefix) || strings.HasPrefix(line, "# HELP "+prefix) || strings.HasPrefix(line, "# TYPE "+prefix) {
				seen[prefix] = true
				line = ""
			}
		}
		if line != "" {
			t.Errorf("a metric outside the prefixes: %s", line)
		}
	}
	for _, prefix := range []string{"zimage_", "go_", "process_"} {
		if !seen[prefix] {
			t.Errorf("no metric begins with %s", prefix)
		}
	}
}
