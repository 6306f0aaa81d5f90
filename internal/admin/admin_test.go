package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/admin"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

var metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "zimage_up 1\n") })

func do(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	return doFrom(t, h, method, path, "")
}

// doFrom sends a request as a browser does for a page of the given site: same-origin or cross-site.
func doFrom(t *testing.T, h http.Handler, method, path, site string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:9090"+path, nil)
	if site != "" {
		r.Header.Set("Sec-Fetch-Site", site)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func TestPaths(t *testing.T) {
	t.Parallel()
	h := admin.New(admin.Config{Metrics: metrics, Version: "v1"})
	tests := map[string]struct {
		method, path string
		status       int
		want         string
	}{
		"metrics":                       {"GET", "/metrics", 200, "zimage_up 1"},
		"alive":                         {"GET", "/healthz", 200, `{"status":"ok","version":"v1"}`},
		"ready without checks":          {"GET", "/readyz", 200, `{"status":"ready","version":"v1"}`},
		"profiles":                      {"GET", "/debug/pprof/", 200, "goroutine"},
		"one profile":                   {"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile:"},
		"the command line":              {"GET", "/debug/pprof/cmdline", 200, "admin"},
		"symbols":                       {"GET", "/debug/pprof/symbol", 200, "num_symbols"},
		"no dashboard, as on a worker":  {"GET", "/queues/", 404, `"code":"unknown_url"`},
		"nothing at the root":           {"GET", "/", 404, `"code":"unknown_url"`},
		"nothing else":                  {"GET", "/v1/models", 404, `"code":"unknown_url"`},
		"nothing to write":              {"POST", "/metrics", 404, `"code":"unknown_url"`},
		"a path that climbs is cleaned": {"GET", "/debug/pprof/../../etc/passwd", 307, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := do(t, h, tt.method, tt.path)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%s %s gives %d %s, want %d and %q", tt.method, tt.path, status, body, tt.status, tt.want)
			}
			if status == http.StatusNotFound && !json.Valid([]byte(body)) {
				t.Errorf("not JSON: %s", body)
			}
		})
	}
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		checks []admin.Check
		status int
		want   string
	}{
		"all is well": {[]admin.Check{{Name: "redis"}}, 200, `{"status":"ready","version":"v1","checks":[{"name":"redis","status":"ok"}]}`},
		"a warning": {
			[]admin.Check{{Name: "redis"}, {Name: "eviction", Warning: "maxmemory-policy is allkeys-lru"}},
			200,
			`{"status":"ready","version":"v1","checks":[{"name":"redis","status":"ok"},{"name":"eviction","status":"warning","message":"maxmemory-policy is allkeys-lru"}]}`,
		},
		"a failure before a success": {
			[]admin.Check{{Name: "redis", Err: errors.New("no answer"), Warning: "not told"}, {Name: "queue"}},
			503,
			`{"status":"not_ready","version":"v1","checks":[{"name":"redis","status":"failed","message":"no answer"},{"name":"queue","status":"ok"}]}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := admin.New(admin.Config{Metrics: metrics, Version: "v1", Ready: func(ctx context.Context) []admin.Check {
				if left, ok := ctx.Deadline(); !ok || time.Until(left) > 2*time.Second {
					t.Error("the checks have no deadline of 2 s")
				}
				return tt.checks
			}})
			status, body := do(t, h, "GET", "/readyz")
			if diff := cmp.Diff(tt.want, strings.TrimSpace(body)); diff != "" || status != tt.status {
				t.Errorf("status %d, want %d; body (-want +got):\n%s", status, tt.status, diff)
			}
		})
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		client, err := redisconn.New(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		queue := asynq.NewClientFromRedisClient(client)
		payload := `{"v":1,"job":"job_1","image":0,"generation":2,"prompt":"a secret wish","spec":{"prompt":"a secret wish"}}`
		for _, p := range []string{payload, "a secret wish"} {
			if _, err := queue.EnqueueContext(t.Context(), asynq.NewTask("picture", []byte(p)), asynq.Queue("exacg-fast")); err != nil {
				t.Fatal(err)
			}
		}
		h := admin.New(admin.Config{Metrics: metrics, Queues: admin.Queues(func() redis.UniversalClient { return client })})

		for _, path := range []string{"/queues", "/queues/", "/queues/queues/exacg-fast"} {
			if status, body := do(t, h, "GET", path); status != 200 || !strings.Contains(body, "/queues/static/js/") {
				t.Errorf("GET %s gives %d %s, want the page", path, status, body)
			}
		}
		if status, body := do(t, h, "GET", "/queues/api/queues"); status != 200 || !strings.Contains(body, `"queue":"exacg-fast"`) {
			t.Errorf("the list of queues is %d %s", status, body)
		}
		status, body := do(t, h, "GET", "/queues/api/queues/exacg-fast/pending_tasks")
		if status != 200 || !strings.Contains(body, `job_1`) || !strings.Contains(body, "[not shown]") || strings.Contains(body, "secret wish") {
			t.Errorf("the tasks are %d %s, want them without prompts", status, body)
		}

		const empty = "/queues/api/queues/exacg-fast/pending_tasks:delete_all"
		if status, body := doFrom(t, h, "DELETE", empty, "cross-site"); status != 403 || !json.Valid([]byte(body)) {
			t.Errorf("another site's DELETE gives %d %s, want 403", status, body)
		}
		if n := client.LLen(t.Context(), "asynq:{exacg-fast}:pending").Val(); n != 2 {
			t.Errorf("%d tasks are left, want 2", n)
		}
		if status, body := doFrom(t, h, "DELETE", empty, "same-origin"); status != 200 {
			t.Errorf("the dashboard's own DELETE gives %d %s", status, body)
		}
	})
}
