package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// TestOldOpenAIGo streams with a release of the official Go client that a comment before an empty line breaks. The pauses
// are long enough for several comments.
func TestOldOpenAIGo(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "oldclient")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "oldclient", "-o", binary, ".") //nolint:gosec // a program of our own
	if out, err := build.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("build oldclient: %v\n%s", err, out)
		}
		t.Skipf("skipped: oldclient does not build, which takes its packages: %v\n%s", err, out)
	}
	g := newGateway(t, setup{
		apiEnv:   []string{"STREAM_KEEPALIVE=40ms"},
		upstream: simupstream.Config{Latency: 300 * time.Millisecond},
	})
	for name, base := range map[string]string{"with /v1": g.url + "/v1", "without /v1": g.url} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), binary)
			cmd.Env = append(os.Environ(), "GATEWAY_URL="+base, "GATEWAY_KEY="+clientKey)
			cmd.Stderr = t.Output()
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Content      string `json:"content"`
				FinishReason string `json:"finish_reason"`
			}
			if err := json.Unmarshal(out, &got); err != nil || !onePicture.MatchString(got.Content) || got.FinishReason != "stop" {
				t.Errorf("got %s (%v)", out, err)
			}
		})
	}
}
