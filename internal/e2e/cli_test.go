package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// defaults is what the two binaries say of each variable's default.
var defaults = map[string]map[string]string{
	"api": {
		"GATEWAY_API_KEY": "required", "LISTEN_ADDR": "default :8080)", "ADMIN_ADDR": "default 127.0.0.1:9090)",
		"PUBLIC_URL": "derived from the request)", "SYNC_TIMEOUT": "default 5m)", "STREAM_KEEPALIVE": "default 10s)",
		"MAX_BODY_BYTES": "default 26214400)", "CORS_ALLOWED_ORIGINS": "default *)", "TRUST_PROXY_HEADERS": "default false)",
		"QUEUE_MAX_PENDING": "default 1000)", "RATE_LIMIT_RPM": "default 0)", "CANCEL_ON_DISCONNECT": "default queued)",
	},
	"worker": {
		"SD_API_KEY": "required", "SD_API_URL": "default https://sd.exacg.cc/api/v1/generate_image)",
		"ADMIN_ADDR": "default 127.0.0.1:9091)", "WORKER_CONCURRENCY": "default 10)", "UPSTREAM_MAX_CONCURRENCY": "default 0)",
		"UPSTREAM_TIMEOUT": "default 3m)", "MAX_ATTEMPTS": "default 4)", "RETRY_BASE_DELAY": "default 1s)", "RETRY_AMBIGUOUS": "default true)",
	},
	"both": {
		"REDIS_URL": "default redis://127.0.0.1:6379/0)", "MODEL_ALIASES": "none)", "JOB_RETENTION": "default 24h)",
		"SHUTDOWN_TIMEOUT": "default 30s)", "LOG_LEVEL": "default info)", "LOG_FORMAT": "default json)", "WEBHOOK_SECRET": "none",
	},
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"api", "worker"} {
		if p := launch(t, name, nil, "-version"); p.ended(patience) != 0 || !strings.HasPrefix(p.output(), name+" ") {
			t.Errorf("%s -version: %s", name, p.output())
		}
		p := launch(t, name, nil, "-help")
		if code := p.ended(patience); code != 0 {
			t.Errorf("%s -help exits %d", name, code)
		}
		for _, variables := range []map[string]string{defaults[name], defaults["both"]} {
			for variable, what := range variables {
				if want := "\n  " + variable + " (" + what; !strings.Contains(p.output(), want) {
					t.Errorf("%s -help lacks %q:\n%s", name, want, p.output())
				}
			}
		}
		p = launch(t, name, nil, "-nonsense")
		if code := p.ended(patience); code != 2 || !strings.Contains(p.output(), "-nonsense") {
			t.Errorf("%s -nonsense exits %d, want 2, and says %s", name, code, p.output())
		}
	}
}

// TestNewKey does as it is told: what is printed goes into the file, and the key works.
func TestNewKey(t *testing.T) {
	t.Parallel()
	p := launch(t, "api", nil, "-new-key", "alice")
	if code := p.ended(patience); code != 0 {
		t.Fatalf("-new-key exits %d", code)
	}
	key := regexp.MustCompile(`(?m)^ +(sk-[A-Za-z0-9_-]{43})$`).FindStringSubmatch(p.output())
	entry := regexp.MustCompile(`(?m)^ +(- \{name: alice, sha256: "([0-9a-f]{64})"\})$`).FindStringSubmatch(p.output())
	if key == nil || entry == nil || strings.Count(p.output(), key[1]) != 1 || !strings.Contains(p.output(), "kept nowhere") {
		t.Fatalf("-new-key says:\n%s", p.output())
	}
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(key[1]))); got != entry[2] {
		t.Errorf("the key's digest is %s, printed is %s", got, entry[2])
	}
	if again := launch(t, "api", nil, "-new-key", "alice"); again.ended(patience) != 0 || strings.Contains(again.output(), key[1]) {
		t.Error("the key is made a second time")
	}
	g := newGateway(t, setup{noWorker: true, apiEnv: []string{"GATEWAY_API_KEY=", configFile(t, "keys:\n  "+entry[1]+"\n")}})
	if r := g.send(http.MethodGet, "/v1/models", "", map[string]string{"Authorization": "Bearer " + key[1]}); r.status != http.StatusOK {
		t.Errorf("a gateway with the entry answers %d %s", r.status, r.body)
	}
	for _, name := range []string{"", "a b", "../x", strings.Repeat("a", 65)} {
		p := launch(t, "api", nil, "-new-key", name)
		if code := p.ended(patience); code != 2 || !strings.Contains(p.output(), "a name is") || strings.Contains(p.output(), "sk-") {
			t.Errorf("-new-key %q exits %d, want 2, and says %s", name, code, p.output())
		}
	}
}

// Every mistake has its line, all come at once, and none shows a secret.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		env  []string
		want []string
	}{
		"api": {
			[]string{"REDIS_URL=redis://u:hunter2@host:notaport/0", "SYNC_TIMEOUT=soon", "LISTEN_ADDR=nowhere", "GATEWAY_API_KEY=hunter2 with blanks", "PUBLIC_URL=ftp://u:hunter2@h"},
			[]string{"REDIS_URL", "SYNC_TIMEOUT", "LISTEN_ADDR", "GATEWAY_API_KEY", "PUBLIC_URL"},
		},
		"worker": {
			[]string{"SD_API_KEY_FILE=/nowhere/hunter2", "SD_API_URL=ftp://u:hunter2@x", "WORKER_CONCURRENCY=0"},
			[]string{"SD_API_KEY_FILE", "SD_API_URL", "WORKER_CONCURRENCY"},
		},
	}
	for name, c := range cases {
		p := launch(t, name, c.env)
		if code := p.ended(patience); code != 2 {
			t.Errorf("%s exits %d, want 2", name, code)
		}
		lines := strings.Split(p.output(), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%s: %d lines, want %d:\n%s", name, len(lines), len(c.want), p.output())
		}
		for _, variable := range c.want {
			if !strings.Contains(p.output(), name+": "+variable+": ") {
				t.Errorf("%s does not name %s:\n%s", name, variable, p.output())
			}
		}
		if strings.Contains(p.output(), "hunter2") {
			t.Errorf("%s shows a secret:\n%s", name, p.output())
		}
	}
}

// Settings are checked without a gateway to be started, and without anything to connect to.
func TestCheckConfig(t *testing.T) {
	t.Parallel()
	file := configFile(t, `
models:
  - {id: A, upstream: one, model_index: 1}
upstreams:
  - {name: one, type: exacg, api_keys: ["${ONE}"]}
  - {name: two, type: openai, url: "http://127.0.0.1:1/v1"}
`)
	unused := "\nwarning: upstream two: no model names it"
	for name, c := range map[string]struct {
		binary string
		args   []string
		env    []string
		code   int
		want   string
	}{
		"api":                     {"api", nil, []string{"GATEWAY_API_KEY=a,b", file}, 0, "configuration ok: 1 models, 2 upstreams, 2 keys" + unused},
		"worker":                  {"worker", nil, []string{"ONE=k", file}, 0, "configuration ok: 1 models, 2 upstreams, 1 keys" + unused},
		"standalone":              {"api", []string{"-standalone"}, []string{"ONE=k", file}, 0, "configuration ok: 1 models, 2 upstreams, 1 keys" + unused},
		"worker without a secret": {"worker", nil, []string{file, "MAX_ATTEMPTS=0"}, 2, "worker: MAX_ATTEMPTS: 0 is not between 1 and 100\nworker: CONFIG_FILE: config.yaml:5:41: upstreams[0].api_keys[0]: the variable ONE is not set"},
		"api without a file":      {"api", nil, []string{"GATEWAY_API_KEY=a", "CONFIG_FILE=/nowhere.yaml"}, 2, "api: CONFIG_FILE: read it: open /nowhere.yaml: no such file or directory"},
	} {
		p := launch(t, c.binary, append(c.env, "REDIS_URL=redis://127.0.0.1:1/0"), append(c.args, "-check-config")...)
		if code := p.ended(patience); code != c.code || strings.TrimSpace(p.output()) != c.want {
			t.Errorf("%s: -check-config exits %d, want %d, and says\n%s\nwant\n%s", name, code, c.code, p.output(), c.want)
		}
	}
}

func TestIdleProcessesStopAtOnce(t *testing.T) {
	t.Parallel()
	for _, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		g := newGateway(t, setup{})
		for _, p := range []*process{g.api, g.worker} {
			began := time.Now()
			p.signal(how)
			if code := p.ended(patience); code != 0 {
				t.Errorf("%s exits %d on %v, want 0", p.name, code, how)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("%s took %v to stop on %v", p.name, took, how)
			}
		}
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was never used
	taken := l.Addr().String()
	for name, c := range map[string]struct {
		binary, variable string
		env              []string
	}{
		"the api's":         {"api", "LISTEN_ADDR", []string{"GATEWAY_API_KEY=k", "ADMIN_ADDR=127.0.0.1:0"}},
		"the api's private": {"api", "ADMIN_ADDR", []string{"GATEWAY_API_KEY=k", "LISTEN_ADDR=127.0.0.1:0"}},
		"the worker's":      {"worker", "ADMIN_ADDR", []string{"SD_API_KEY=k"}},
	} {
		p := launch(t, c.binary, append(c.env, c.variable+"="+taken))
		if code := p.ended(patience); code != 1 || !strings.Contains(p.output(), c.binary+": "+c.variable+": ") || !strings.Contains(p.output(), taken) {
			t.Errorf("%s: exit code %d and %s; want 1 and %s named", name, code, p.output(), c.variable)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	check := func(name, admin string) int {
		t.Helper()
		return launch(t, name, []string{"GATEWAY_API_KEY=k", "SD_API_KEY=k", "ADMIN_ADDR=" + admin}, "-healthcheck").ended(patience)
	}
	for p, message := range map[*process]string{g.api: "api is listening", g.worker: "worker is running"} {
		admin, _ := p.logged(message)["admin_address"].(string)
		if code := check(p.name, admin); code != 0 {
			t.Errorf("healthcheck of a running %s exits %d", p.name, code)
		}
		p.kill()
		if code := check(p.name, admin); code != 1 {
			t.Errorf("healthcheck of a dead %s exits %d, want 1", p.name, code)
		}
	}
	cut := newGateway(t, setup{redisURL: "redis://127.0.0.1:1/0", noWorker: true})
	if code := check("api", strings.TrimPrefix(cut.admin, "http://")); code != 1 {
		t.Errorf("healthcheck of an api without Redis exits %d, want 1", code)
	}
}
