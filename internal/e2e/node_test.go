package e2e_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// clientEnv is an API as the client tests want it: a waiting stream really sends comments, the model answers to names by
// which clients choose what they send, and pictures may be fetched from the simulated upstream.
var clientEnv = []string{"STREAM_KEEPALIVE=40ms", "SYNC_KEEPALIVE=200ms", "MODEL_ALIASES=gpt-image-1,dall-e-3", "ALLOW_PRIVATE_ADDRESSES=true"}

// byPrompt refuses the prompts that ask for it, and takes its time over those that speak of it.
func byPrompt(r simupstream.Request) simupstream.Behaviour {
	switch {
	case strings.Contains(r.Body.Prompt, "refuse"):
		return simupstream.Decline(http.StatusBadRequest, "the upstream has to refuse this")
	case strings.Contains(r.Body.Prompt, "slow"):
		return simupstream.Behaviour{Latency: 2 * patience}
	}
	return simupstream.Behaviour{}
}

// TestNodeClients runs the tests of the JavaScript clients in node/, every file of them, against a gateway.
func TestNodeClients(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	for _, name := range []string{"openai", "ai", "ai6", "oc2"} {
		if err == nil {
			_, err = os.Stat(filepath.Join("node", "node_modules", name))
		}
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("Node and the packages of node/ are needed (npm ci there): %v", err)
		}
		t.Skipf("skipped: needs Node and the packages of node/ (npm ci there): %v", err)
	}
	files, err := filepath.Glob(filepath.Join("node", "*.test.mjs"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in node/: %v", err)
	}
	g := newGateway(t, setup{
		apiEnv: clientEnv, workerEnv: []string{"ALLOW_PRIVATE_ADDRESSES=true"},
		upstream: simupstream.Config{Latency: 300 * time.Millisecond, Behave: byPrompt},
	})
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".test.mjs"), func(t *testing.T) { t.Parallel(); nodeTests(t, g, node, name) })
	}
}

func nodeTests(t *testing.T, g *gateway, node, file string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), node, "--test", "--test-timeout=120000", file) //nolint:gosec // Node, from PATH
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(), "GATEWAY_URL="+g.url, "GATEWAY_KEY="+clientKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out[max(0, len(out)-300):])
}
