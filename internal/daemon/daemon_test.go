package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/daemon"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
	"github.com/zimage-gateway/zimage-gateway/internal/telemetry"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const patience = 30 * time.Second

func build() daemon.Build {
	return daemon.Build{Version: "test", Log: slog.New(slog.DiscardHandler), Metrics: telemetry.NewMetrics("test")}
}

// standalone runs the whole product in this process and returns what it says and how to stop it.
func standalone(t *testing.T, environ ...string) (banner string, stop func()) {
	t.Helper()
	api, worker, err := config.LoadStandalone(append(environ, "LISTEN_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := daemon.Standalone(ctx, api, worker, build(), in)
		_ = in.CloseWithError(io.EOF)
		ended <- err
	}()
	stop = func() {
		t.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("standalone: %v", err)
			}
		case <-time.After(patience):
			t.Fatalf("standalone did not stop within %v", patience)
		}
	}
	text := make([]byte, 4096)
	n, err := out.Read(text)
	if err != nil {
		stop()
		t.Fatalf("no banner: %v", err)
	}
	return string(text[:n]), stop
}

func draw(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/images/generations", strings.NewReader(`{"prompt":"a cat","size":"64x64"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+config.StandaloneKey)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s (%v)", resp.StatusCode, body, err)
	}
	var reply struct {
		Data []struct {
			URL string `json:"url"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &reply); err != nil || len(reply.Data) != 1 {
		t.Fatalf("reply %s (%v)", body, err)
	}
	return reply.Data[0].URL
}

// Needs nothing but Go: this is what make run starts.
func TestStandaloneDraws(t *testing.T) {
	t.Parallel()
	banner, stop := standalone(t)
	defer stop()
	url := regexp.MustCompile(`Base URL +(\S+)`).FindStringSubmatch(banner)
	if url == nil {
		t.Fatalf("the banner has no base URL:\n%s", banner)
	}
	if got := draw(t, url[1]); !strings.HasPrefix(got, "http://127.0.0.1:") || !strings.HasSuffix(got, ".png") {
		t.Errorf("picture at %s, want a local PNG", got)
	}
}

// Every goroutine of API, worker, queue and simulated upstream ends with the process: goleak looks after the tests.
func TestStartAndStopOverAndOver(t *testing.T) {
	t.Parallel()
	for range 5 {
		_, stop := standalone(t)
		stop()
	}
}

func TestProgram(t *testing.T) {
	t.Parallel()
	fail := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	inOrder := func() ([]string, error) { return lines{"configuration ok", "warning: x"}, nil }
	cases := map[string]struct {
		args   []string
		work   func(context.Context) error
		code   int
		stdout string
		stderr string
	}{
		"a clean end":             {nil, fail(nil), 0, "", ""},
		"a failure":               {nil, fail(io.ErrUnexpectedEOF), 1, "", "worker: unexpected EOF\n"},
		"two mistakes, two lines": {nil, fail(daemon.Misconfigured(lines{"A: one", "B: two"})), 2, "", "worker: A: one\nworker: B: two\n"},
		"the version":             {[]string{"-version"}, nil, 0, "worker v1\n", ""},
		"an unknown flag":         {[]string{"-nope"}, nil, 2, "", "worker: flag provided but not defined: -nope\n"},
		"an argument":             {[]string{"now"}, nil, 2, "", "worker: unexpected argument \"now\"\n"},
		"settings in order":       {[]string{"-check-config"}, nil, 0, "configuration ok\nwarning: x\n", ""},
		"a health check in vain":  {[]string{"-healthcheck"}, nil, 1, "", "worker: ask for readiness: "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			p := daemon.Program{Name: "worker", Version: "v1", Stdout: &stdout, Stderr: &stderr, CheckConfig: inOrder, AdminAddr: func() (string, error) {
				return "127.0.0.1:1", nil // nobody listens there
			}}
			if code := p.Run(t.Context(), c.args, c.work); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if got := stdout.String(); got != c.stdout {
				t.Errorf("stdout %q, want %q", got, c.stdout)
			}
			if got := stderr.String(); !strings.HasPrefix(got, c.stderr) || c.stderr == "" && got != "" {
				t.Errorf("stderr %q, want %q", got, c.stderr)
			}
		})
	}
}

// Nothing is written but to where it was asked for, and what cannot be written is a failure: the key is lost.
func TestNewKey(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := daemon.NewKey(&out, "007"); err != nil || !strings.Contains(out.String(), `{name: "007", sha256: "`) {
		t.Errorf("got %v and\n%s", err, out.String())
	}
	closed, writer := io.Pipe()
	_ = closed.Close()
	if err := daemon.NewKey(writer, "alice"); err == nil {
		t.Error("no error where nobody reads")
	}
}

// A gateway whose clients are all named says whose key to call it with.
func TestStandaloneWithNamedKeys(t *testing.T) {
	t.Parallel()
	yaml := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(yaml, []byte("keys: [{name: alice, sha256: "+strings.Repeat("ab", 32)+"}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	banner, stop := standalone(t, "CONFIG_FILE="+yaml)
	defer stop()
	if !strings.Contains(banner, "YOUR_KEY (one of those under keys:") || strings.Contains(banner, config.StandaloneKey) {
		t.Errorf("the banner is\n%s", banner)
	}
}

// An upstream of the file's own is called, and nothing is simulated.
func TestStandaloneWithUpstreams(t *testing.T) {
	t.Parallel()
	sim := simupstream.New(simupstream.Config{APIKey: "own-key"})
	upstream := httptest.NewServer(sim)
	defer upstream.Close()
	defer sim.Close()
	yaml := filepath.Join(t.TempDir(), "config.yaml")
	text := "upstreams: [{name: own, type: exacg, url: '" + upstream.URL + simupstream.GeneratePath + "', api_keys: ['${OWN_KEY}']}]"
	if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	banner, stop := standalone(t, "CONFIG_FILE="+yaml, "OWN_KEY=own-key")
	defer stop()
	url := regexp.MustCompile(`Base URL +(\S+)`).FindStringSubmatch(banner)
	if url == nil || strings.Contains(banner, "simulated") {
		t.Fatalf("the banner is\n%s", banner)
	}
	if got := draw(t, url[1]); !strings.HasPrefix(got, upstream.URL) {
		t.Errorf("picture at %s, want one of %s", got, upstream.URL)
	}
}

// lines is an error of several lines.
type lines []string

func (l lines) Error() string { return strings.Join(l, "\n") }
