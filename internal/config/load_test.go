package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

// webhookSecret is the shortest there may be.
const webhookSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestLoadAPIDefaults(t *testing.T) {
	t.Parallel()
	got, err := config.LoadAPI([]string{"GATEWAY_API_KEY=k1"})
	if err != nil {
		t.Fatal(err)
	}
	want := config.API{
		Common: common(), Keys: []config.Secret{"k1"}, ListenAddr: ":8080", AdminAddr: "127.0.0.1:9090",
		SyncTimeout: 5 * time.Minute, StreamKeepalive: 10 * time.Second,
		SyncKeepalive: 45 * time.Second, HousekeepingReplies: true, MaxBodyBytes: 26214400, CORSAllowedOrigins: []string{"*"},
		QueueMaxPending: 1000, CancelOnDisconnect: "queued",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestLoadAPIReadsEverything(t *testing.T) {
	t.Parallel()
	got, err := config.LoadAPI([]string{
		"GATEWAY_API_KEY= k1, k2 ,,", "REDIS_URL=redis-cluster://u:p@h1:1,h2:2", "MODEL_ALIASES=dall-e-3, gpt-image-1,", "JOB_RETENTION=2s",
		"SHUTDOWN_TIMEOUT=1m", "LOG_LEVEL=DEBUG", "LOG_FORMAT=text", "LISTEN_ADDR=[::1]:1", "ADMIN_ADDR=localhost:0", "SYNC_TIMEOUT=1s",
		"PUBLIC_URL=https://example.com/images/", "STREAM_KEEPALIVE=2s", "SYNC_KEEPALIVE=0", "HOUSEKEEPING_REPLIES=false",
		"IMAGE_STORE_URL=file:///pics", "ALLOW_PRIVATE_ADDRESSES=true", "MAX_BODY_BYTES=1000", "TRUST_PROXY_HEADERS=1",
		"CORS_ALLOWED_ORIGINS=https://a.example, https://*.b.example,http://localhost:3000", "SD_API_KEY=not for the api", "SYNC_TIMEOUT=3s",
		"QUEUE_MAX_PENDING=7", "RATE_LIMIT_RPM=60", "CANCEL_ON_DISCONNECT=Never", "WEBHOOK_SECRET=" + webhookSecret,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := config.API{
		Common: config.Common{
			RedisURL: "redis-cluster://u:p@h1:1,h2:2", ModelAliases: []string{"dall-e-3", "gpt-image-1"}, JobRetention: 2 * time.Second,
			ImageStoreURL: "file:///pics", AllowPrivateAddresses: true, ShutdownTimeout: time.Minute, LogLevel: "debug", LogFormat: "text",
			WebhookSecret: webhookSecret, Upstreams: common().Upstreams,
		},
		Keys: []config.Secret{"k1", "k2"}, ListenAddr: "[::1]:1", AdminAddr: "localhost:0", PublicURL: "https://example.com/images",
		SyncTimeout: 3 * time.Second, StreamKeepalive: 2 * time.Second, MaxBodyBytes: 1000, TrustProxyHeaders: true,
		QueueMaxPending: 7, RateLimitRPM: 60, CancelOnDisconnect: "never",
		CORSAllowedOrigins: []string{"https://a.example", "https://*.b.example", "http://localhost:3000"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestLoadWorker(t *testing.T) {
	t.Parallel()
	defaults := config.Worker{
		Common: common(), UpstreamKey: "key", UpstreamURL: "https://sd.exacg.cc/api/v1/generate_image", AdminAddr: "127.0.0.1:9091",
		Concurrency: 10, UpstreamTimeout: 3 * time.Minute, MaxAttempts: 4, RetryBaseDelay: time.Second, RetryAmbiguous: true,
		BreakerThreshold: 5, BreakerCooldown: 5 * time.Second,
	}
	defaults.Upstreams = []config.Upstream{{
		Name: "exacg", Type: "exacg", URL: "https://sd.exacg.cc/api/v1/generate_image", APIKeys: []config.Secret{"key"},
		Timeout: 3 * time.Minute, RetryAmbiguous: true,
	}}
	own := defaults
	own.BreakerThreshold, own.BreakerCooldown = 1, time.Minute
	own.Upstreams = []config.Upstream{{
		Name: "exacg", Type: "exacg", URL: "http://127.0.0.1:1/x", APIKeys: []config.Secret{"key"}, Timeout: time.Second,
	}}
	own.UpstreamURL, own.AdminAddr, own.Concurrency, own.UpstreamMaxConcurrency = "http://127.0.0.1:1/x", ":1", 3, 7
	own.UpstreamTimeout, own.MaxAttempts, own.RetryBaseDelay, own.RetryAmbiguous = time.Second, 1, time.Millisecond, false
	tests := map[string]struct {
		environ []string
		want    config.Worker
	}{
		"with defaults":            {[]string{"SD_API_KEY=key"}, defaults},
		"empty variables as unset": {[]string{"SD_API_KEY=key", "REDIS_URL=", "MAX_ATTEMPTS= ", "RETRY_AMBIGUOUS=", "SD_API_KEY_FILE="}, defaults},
		"with everything": {[]string{
			"SD_API_KEY=key", "SD_API_URL=http://127.0.0.1:1/x", "ADMIN_ADDR=:1", "WORKER_CONCURRENCY=3", "UPSTREAM_MAX_CONCURRENCY=7",
			"UPSTREAM_TIMEOUT=1s", "MAX_ATTEMPTS=1", "RETRY_BASE_DELAY=1ms", "RETRY_AMBIGUOUS=false",
			"BREAKER_THRESHOLD=1", "BREAKER_COOLDOWN=60s",
		}, own},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := config.LoadWorker(tt.environ)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadStandalone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		environ  []string
		addr     string
		keys     []config.Secret
		upstream config.Secret
		mistake  string
	}{
		"needs nothing":                           {nil, "127.0.0.1:8080", []config.Secret{"sk-standalone"}, "", ""},
		"does not read REDIS_URL":                 {[]string{"REDIS_URL=nonsense", "REDIS_URL_FILE=/nowhere"}, "127.0.0.1:8080", []config.Secret{"sk-standalone"}, "", ""},
		"takes keys of one's own":                 {[]string{"GATEWAY_API_KEY=a", "SD_API_KEY=b"}, "127.0.0.1:8080", []config.Secret{"a"}, "b", ""},
		"takes another loopback address":          {[]string{"LISTEN_ADDR=localhost:1"}, "localhost:1", []config.Secret{"sk-standalone"}, "", ""},
		"takes any address with a key":            {[]string{"LISTEN_ADDR=:1", "GATEWAY_API_KEY=a"}, ":1", []config.Secret{"a"}, "", ""},
		"refuses an open address without a key":   {[]string{"LISTEN_ADDR=:1"}, "", nil, "", "GATEWAY_API_KEY: a key of your own"},
		"refuses an open address with a known":    {[]string{"LISTEN_ADDR=0.0.0.0:1", "GATEWAY_API_KEY=x,sk-standalone"}, "", nil, "", "GATEWAY_API_KEY: a key of your own"},
		"refuses a name that may be anything":     {[]string{"LISTEN_ADDR=localhost.example:1"}, "", nil, "", "GATEWAY_API_KEY: a key of your own"},
		"refuses an upstream without its key":     {[]string{"SD_API_URL=http://127.0.0.1:1"}, "", nil, "", "SD_API_KEY: required where SD_API_URL is set"},
		"names a bad address, and only that":      {[]string{"LISTEN_ADDR=8080"}, "", nil, "", `LISTEN_ADDR: "8080" is not host:port such as 127.0.0.1:8080 or :8080`},
		"names a mistake of both parts once only": {[]string{"LOG_LEVEL=loud"}, "", nil, "", `LOG_LEVEL: "loud" is not debug, info, warn or error`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, w, err := config.LoadStandalone(tt.environ)
			if tt.mistake != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.mistake) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error is %v, want the one mistake %q", err, tt.mistake)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.ListenAddr != tt.addr || w.UpstreamKey != tt.upstream {
				t.Errorf("got address %q and upstream key %q, want %q and %q", a.ListenAddr, w.UpstreamKey.Value(), tt.addr, tt.upstream.Value())
			}
			if diff := cmp.Diff(tt.keys, a.Keys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, empty, huge := file("good", "file-key\r\n"), file("empty", "\n"), file("huge", strings.Repeat("x", 1<<20))
	redis := file("redis", "redis://:pw@h:1/2\n")
	tests := map[string]struct {
		environ []string
		key     config.Secret
		redis   config.Secret
		mistake string
	}{
		"a key and a URL":            {[]string{"SD_API_KEY_FILE=" + good, "REDIS_URL_FILE=" + redis}, "file-key", "redis://:pw@h:1/2", ""},
		"an empty file":              {[]string{"SD_API_KEY_FILE=" + empty}, "", "", "SD_API_KEY_FILE: not a file with the value: it is empty"},
		"a large file":               {[]string{"SD_API_KEY_FILE=" + huge}, "", "", "SD_API_KEY_FILE: not a file with the value: larger than 65536 bytes"},
		"a directory":                {[]string{"SD_API_KEY_FILE=" + dir}, "", "", "SD_API_KEY_FILE: not a file with the value: is a directory"},
		"the secret itself":          {[]string{"SD_API_KEY_FILE=the-secret"}, "", "", "SD_API_KEY_FILE: not a file with the value: no such file or directory"},
		"a value in both":            {[]string{"SD_API_KEY_FILE=" + good, "SD_API_KEY=x"}, "", "", "SD_API_KEY_FILE: set together with SD_API_KEY: only one of them can count"},
		"a bad value, not told":      {[]string{"SD_API_KEY=x", "REDIS_URL_FILE=" + good}, "", "", "REDIS_URL: not a URL such as redis://127.0.0.1:6379/0 (special characters of a password must be percent-encoded)"},
		"no such form for no secret": {[]string{"SD_API_KEY=x", "LOG_LEVEL_FILE=" + good}, "x", "redis://127.0.0.1:6379/0", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := config.LoadWorker(tt.environ)
			if tt.mistake != "" {
				if err == nil || err.Error() != tt.mistake {
					t.Errorf("error is %v, want %q", err, tt.mistake)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.redis == "" {
				tt.redis = common().RedisURL
			}
			if w.UpstreamKey != tt.key || w.RedisURL != tt.redis {
				t.Errorf("got %q and %q, want %q and %q", w.UpstreamKey.Value(), w.RedisURL.Value(), tt.key.Value(), tt.redis.Value())
			}
		})
	}
}

func common() config.Common {
	return config.Common{
		RedisURL: "redis://127.0.0.1:6379/0", JobRetention: 24 * time.Hour, ShutdownTimeout: 30 * time.Second, LogLevel: "info", LogFormat: "json",
		Upstreams: []config.Upstream{{Name: "exacg", Type: "exacg"}},
	}
}
