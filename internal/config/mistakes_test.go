package config_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

func TestAllMistakesTogether(t *testing.T) {
	t.Parallel()
	_, apiErr := config.LoadAPI([]string{
		"REDIS_URL=http://:hunter2@h", "JOB_RETENTION=0", "SHUTDOWN_TIMEOUT=30", "LOG_LEVEL=loud", "LOG_FORMAT=xml\x1b\n", "LISTEN_ADDR=:http",
		"ADMIN_ADDR=user@h:1", "PUBLIC_URL=ftp://user:hunter2@h", "SYNC_TIMEOUT=-5m", "STREAM_KEEPALIVE=2h", "MAX_BODY_BYTES=25MB",
		"CORS_ALLOWED_ORIGINS=https://a.example,https://b.example/page", "TRUST_PROXY_HEADERS=" + strings.Repeat("yes", 100), "GATEWAY_API_KEY=good,hunter2 and more",
	})
	_, workerErr := config.LoadWorker([]string{
		"SD_API_URL=sd.exacg.cc?key=hunter2", "WORKER_CONCURRENCY=0", "UPSTREAM_MAX_CONCURRENCY=-1", "UPSTREAM_TIMEOUT=0s",
		"MAX_ATTEMPTS=99999999999999999999", "RETRY_BASE_DELAY=31s", "RETRY_AMBIGUOUS=no",
	})
	tests := map[string]struct {
		err  error
		want []string
	}{
		"api": {apiErr, []string{
			"REDIS_URL: the scheme is unknown; known are redis, rediss, unix, redis-sentinel, rediss-sentinel, redis-cluster and rediss-cluster",
			"JOB_RETENTION: 0s is not between 1s and 8760h",
			`SHUTDOWN_TIMEOUT: "30" is not a duration such as 500ms, 30s or 5m`,
			`LOG_LEVEL: "loud" is not debug, info, warn or error`,
			`LOG_FORMAT: "xml\x1b" is not json or text`,
			"GATEWAY_API_KEY: key number 2 holds a character that no HTTP header can carry (only visible ASCII is possible)",
			`LISTEN_ADDR: ":http" is not host:port such as 127.0.0.1:8080 or :8080`,
			`ADMIN_ADDR: "user@h:1" is not host:port such as 127.0.0.1:8080 or :8080`,
			"PUBLIC_URL: not an absolute URL such as https://example.com/path",
			"SYNC_TIMEOUT: -5m0s is not between 1ms and 24h",
			"STREAM_KEEPALIVE: 2h0m0s is not between 1ms and 1h",
			`MAX_BODY_BYTES: "25MB" is not a whole number`,
			`CORS_ALLOWED_ORIGINS: "https://b.example/page" is not an origin such as https://example.com, nor *`,
			`TRUST_PROXY_HEADERS: "` + strings.Repeat("yes", 20) + `…" is neither true nor false`,
		}},
		"worker": {workerErr, []string{
			"SD_API_KEY: required: the upstream's key",
			"SD_API_URL: not an absolute URL such as https://example.com/path",
			"WORKER_CONCURRENCY: 0 is not between 1 and 10000",
			"UPSTREAM_MAX_CONCURRENCY: -1 is not between 0 and 10000",
			"UPSTREAM_TIMEOUT: 0s is not between 1ms and 1h",
			`MAX_ATTEMPTS: "99999999999999999999" is not a whole number`,
			"RETRY_BASE_DELAY: 31s is not between 1ms and 30s",
			`RETRY_AMBIGUOUS: "no" is neither true nor false`,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.err == nil {
				t.Fatal("no mistake was found")
			}
			if diff := cmp.Diff(tt.want, strings.Split(tt.err.Error(), "\n")); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakesOfOneVariable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ environ, want string }{
		"no key":                         {"GATEWAY_API_KEY=", "GATEWAY_API_KEY: required: the keys that clients present, comma-separated"},
		"only commas":                    {"GATEWAY_API_KEY= , ,", "GATEWAY_API_KEY: required: the keys that clients present, comma-separated"},
		"a base of links with a query":   {"PUBLIC_URL=https://h/?a=b", "PUBLIC_URL: a base of links has no query and no fragment"},
		"an address without a port":      {"LISTEN_ADDR=127.0.0.1", `LISTEN_ADDR: "127.0.0.1" is not host:port such as 127.0.0.1:8080 or :8080`},
		"a port beyond the last":         {"LISTEN_ADDR=:65536", `LISTEN_ADDR: ":65536" is not host:port such as 127.0.0.1:8080 or :8080`},
		"an option of Redis, split over": {"REDIS_URL=redis://h?a%0Ab=1", "REDIS_URL: an option is not usable: redis: unexpected option: a b"},
		"no room in the queue":           {"QUEUE_MAX_PENDING=0", "QUEUE_MAX_PENDING: 0 is not between 1 and 10000000"},
		"a negative rate":                {"RATE_LIMIT_RPM=-1", "RATE_LIMIT_RPM: -1 is not between 0 and 1000000"},
		"another word":                   {"CANCEL_ON_DISCONNECT=no", `CANCEL_ON_DISCONNECT: "no" is not queued, always or never`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.LoadAPI([]string{"GATEWAY_API_KEY=k", tt.environ})
			if err == nil || err.Error() != tt.want {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWebhookSecret(t *testing.T) {
	t.Parallel()
	of := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\xff", n))) }
	tests := map[string]struct {
		value string
		ok    bool
	}{
		"the shortest":          {"whsec_" + of(24), true},
		"the longest":           {"whsec_" + of(64), true},
		"a byte too short":      {"whsec_" + of(23), false},
		"a byte too long":       {"whsec_" + of(65), false},
		"no prefix":             {of(32), false},
		"a prefix in capitals":  {"WHSEC_" + of(32), false},
		"the prefix alone":      {"whsec_", false},
		"no base64":             {"whsec_" + strings.Repeat("?", 32), false},
		"base64 for URLs":       {"whsec_" + strings.ReplaceAll(of(32), "/", "_"), false},
		"no padding":            {"whsec_" + strings.TrimRight(of(32), "="), false},
		"a line end within":     {"whsec_" + of(24)[:8] + "\n" + of(24)[8:], false},
		"text behind the value": {"whsec_" + of(24) + " hunter2", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for process, load := range map[string]func([]string) error{
				"api":    func(environ []string) error { _, err := config.LoadAPI(environ); return err },
				"worker": func(environ []string) error { _, err := config.LoadWorker(environ); return err },
			} {
				err := load([]string{"GATEWAY_API_KEY=k", "SD_API_KEY=k", "WEBHOOK_SECRET=" + tt.value})
				if tt.ok != (err == nil) {
					t.Errorf("%s: error is %v, want one: %t", process, err, !tt.ok)
				}
				const want = "WEBHOOK_SECRET: not whsec_ followed by the base64 of 24 to 64 bytes (make one with: echo whsec_$(openssl rand -base64 32))"
				if err != nil && err.Error() != want {
					t.Errorf("%s: error is %q, want %q", process, err, want)
				}
			}
		})
	}
}
