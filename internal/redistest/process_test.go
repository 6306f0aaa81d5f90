package redistest_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// inner makes the tests below run in a process of their own, by another environment.
const inner = "REDISTEST_INNER"

func rerun(ctx context.Context, test string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$", "-test.v", "-test.timeout=60s") //nolint:gosec // this very binary
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CI=") && !strings.HasPrefix(v, "TEST_REDIS_URL=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, inner+"=1")
	cmd.Env = append(cmd.Env, env...) // the last one counts
	return cmd
}

func TestInnerURL(t *testing.T) { //nolint:paralleltest // runs alone, in a process of its own
	if os.Getenv(inner) == "" {
		t.Skip("run by TestWithoutRedis")
	}
	redistest.URL(t)
}

func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	nowhere := "PATH=" + t.TempDir()
	tests := map[string]struct {
		env  []string
		want []string
	}{
		"a machine without one skips":  {[]string{nowhere}, []string{"--- SKIP", "no real Redis", "TEST_REDIS_URL", "PASS"}},
		"CI fails":                     {[]string{nowhere, "CI=true"}, []string{"--- FAIL", "no real Redis"}},
		"a server that is named is it": {[]string{nowhere, "TEST_REDIS_URL=redis://127.0.0.1:1"}, []string{"--- FAIL", "connection refused"}},
		"a named cluster is a mistake": {[]string{nowhere, "TEST_REDIS_URL=redis-cluster://127.0.0.1:1"}, []string{"--- FAIL", "single server"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, _ := rerun(t.Context(), "TestInnerURL", tt.env...).CombinedOutput()
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestNamedServerIsUsed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	out, err := rerun(t.Context(), "TestInnerURL", "PATH="+t.TempDir(), "TEST_REDIS_URL="+server.URL()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestInnerURL") {
		t.Errorf("%v:\n%s", err, out)
	}
	if n := connect(t, server.URL()).SCard(t.Context(), "redistest:owned").Val(); n != 1 {
		t.Errorf("%d databases of the named server were used, want 1", n)
	}
}

func TestInnerHang(t *testing.T) { //nolint:paralleltest // runs alone, in a process of its own
	if os.Getenv(inner) == "" {
		t.Skip("run by TestServersDieWithKilledTests")
	}
	redistest.URL(t)
	fmt.Println("ADDR " + redistest.Start(t, redistest.Options{}).Addr())
	<-t.Context().Done()
}

func TestServersDieWithKilledTests(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process that its parent died")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("starts no server here")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := rerun(ctx, "TestInnerHang", "TMPDIR="+t.TempDir()) // a killed test cannot tidy up
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var addr string
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		if _, a, ok := strings.Cut(lines.Text(), "ADDR "); ok {
			addr = a
		}
	}
	if addr == "" {
		t.Fatal("the tests named no address")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	await(ctx, t, "the server to die", func() bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}
