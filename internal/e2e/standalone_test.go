package e2e_test

import (
	"context"
	"encoding/json"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestStandalone does what a newcomer does: start, paste the line, open the picture. It needs no Redis.
func TestStandalone(t *testing.T) {
	t.Parallel()
	p := launch(t, "api", []string{"LISTEN_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0"}, "-standalone")
	line := strings.TrimSpace(p.line("a curl line", func(s string) bool { return strings.Contains(s, "curl http") }))
	for _, want := range []string{"Page ", "sk-standalone", "lost when it stops"} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("the banner lacks %q:\n%s", want, p.output())
		}
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the pasted line needs curl")
		}
		t.Skip("skipped: the pasted line needs curl")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-c", strings.Replace(line, "curl", curl+" -sS", 1)).Output() //nolint:gosec // our own banner
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var reply struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(out, &reply); err != nil || len(reply.Choices) != 1 {
		t.Fatalf("%s answers %s (%v)", line, out, err)
	}
	url := regexp.MustCompile(`\((http[^)]+)\)$`).FindStringSubmatch(reply.Choices[0].Message.Content)
	if url == nil {
		t.Fatalf("no picture in %q", reply.Choices[0].Message.Content)
	}
	resp, err := http.Get(url[1]) //nolint:noctx // the picture
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	size, err := png.DecodeConfig(resp.Body)
	if err != nil || size.Width != 2048 || size.Height != 1152 {
		t.Errorf("the picture is %d × %d (%v), want 2048 × 1152", size.Width, size.Height, err)
	}
	page, err := http.Get(regexp.MustCompile(`http://[^/ ]+/`).FindString(line)) //nolint:noctx // the page
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close() //nolint:errcheck // only the header matters
	if got := page.Header.Get("Content-Type"); page.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/html") {
		t.Errorf("the page: %d %s", page.StatusCode, got)
	}
	if code := p.stop(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestStandaloneKeepsItsKnownKeyToThisMachine(t *testing.T) {
	t.Parallel()
	p := launch(t, "api", []string{"LISTEN_ADDR=0.0.0.0:0", "ADMIN_ADDR=127.0.0.1:0"}, "-standalone")
	if code := p.ended(patience); code != 2 || !strings.Contains(p.output(), "GATEWAY_API_KEY") {
		t.Errorf("exit code %d and %s; want 2 and GATEWAY_API_KEY named", code, p.output())
	}
}
