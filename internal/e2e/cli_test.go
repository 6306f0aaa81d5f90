package e2e_test

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

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
		for _, want := range []string{"REDIS_URL", "redis://127.0.0.1:6379/0", "JOB_RETENTION", "24h", "ADMIN_ADDR"} {
			if !strings.Contains(p.output(), want) {
				t.Errorf("%s -help lacks %s:\n%s", name, want, p.output())
			}
		}
		if code := launch(t, name, nil, "-nonsense").ended(patience); code != 2 {
			t.Errorf("%s -nonsense exits %d, want 2", name, code)
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
			[]string{"REDIS_URL=redis://u:hunter2@host:notaport/0", "SYNC_TIMEOUT=soon", "LISTEN_ADDR=nowhere", "GATEWAY_API_KEY=hunter2 with blanks"},
			[]string{"REDIS_URL", "SYNC_TIMEOUT", "LISTEN_ADDR", "GATEWAY_API_KEY"},
		},
		"worker": {
			[]string{"SD_API_KEY_FILE=/nowhere/hunter2", "SD_API_URL=ftp://x", "WORKER_CONCURRENCY=0"},
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

func TestIdleProcessesStopAtOnce(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	began := time.Now()
	for _, p := range []*process{g.api, g.worker} {
		p.signal(syscall.SIGINT)
		if code := p.ended(patience); code != 0 {
			t.Errorf("%s exits %d on SIGINT, want 0", p.name, code)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was never used
	p := launch(t, "api", []string{"GATEWAY_API_KEY=k", "ADMIN_ADDR=127.0.0.1:0", "LISTEN_ADDR=" + l.Addr().String()})
	if code := p.ended(patience); code != 1 || !strings.Contains(p.output(), "api: LISTEN_ADDR: ") {
		t.Errorf("exit code %d and %s; want 1 and LISTEN_ADDR named", code, p.output())
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{redisURL: redistest.URL(t), noWorker: true})
	env := []string{"GATEWAY_API_KEY=k", "ADMIN_ADDR=" + strings.TrimPrefix(g.admin, "http://")}
	if code := launch(t, "api", env, "-healthcheck").ended(patience); code != 0 {
		t.Errorf("healthcheck of a running api exits %d", code)
	}
	g.api.kill()
	if code := launch(t, "api", env, "-healthcheck").ended(patience); code != 1 {
		t.Errorf("healthcheck of a dead api exits %d, want 1", code)
	}
}
