package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// TestNodeOpenAI runs the tests of the official JavaScript client in node/ against a gateway.
func TestNodeOpenAI(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join("node", "node_modules", "openai"))
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("Node and the packages of node/ are needed (npm ci there): %v", err)
		}
		t.Skipf("skipped: needs Node and the packages of node/ (npm ci there): %v", err)
	}
	g := newGateway(t, setup{
		apiEnv:   []string{"STREAM_KEEPALIVE=40ms"}, // so that a waiting stream really sends comments
		upstream: simupstream.Config{Latency: 300 * time.Millisecond},
	})
	cmd := exec.CommandContext(t.Context(), node, "--test", "sdk.test.mjs") //nolint:gosec // Node, from PATH
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(), "GATEWAY_URL="+g.url, "GATEWAY_KEY="+clientKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out[max(0, len(out)-300):])
}
