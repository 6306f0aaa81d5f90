package e2e_test

import (
	"context"
	"encoding/json"
	"image/png"
	"io"
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
	out := paste(t, line)
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

// paste runs the line in a shell, as it is. On a machine without curl its request is made in the same words.
func paste(t *testing.T, line string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := exec.LookPath("curl"); err == nil || os.Getenv("CI") == "true" {
		out, err := exec.CommandContext(ctx, "sh", "-c", line).Output() //nolint:gosec // our own banner
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return out
	}
	words := regexp.MustCompile(`^curl (http\S+)((?: -H "[^"]*")+) -d '([^']*)'$`).FindStringSubmatch(line)
	if words == nil {
		t.Fatalf("%s: not as this test reads it", line)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, words[1], strings.NewReader(words[3]))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range regexp.MustCompile(`"([^:"]*): ([^"]*)"`).FindAllStringSubmatch(words[2], -1) {
		req.Header.Set(header[1], header[2])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStandaloneKeepsItsKnownKeyToThisMachine(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.168.7.7:0", "10.0.0.7:0", "gateway.example:0"} {
		p := launch(t, "api", []string{"LISTEN_ADDR=" + address, "ADMIN_ADDR=127.0.0.1:0"}, "-standalone")
		if code := p.ended(patience); code != 2 || !strings.Contains(p.output(), "GATEWAY_API_KEY") {
			t.Errorf("on %s: exit code %d and %s; want 2 and GATEWAY_API_KEY named", address, code, p.output())
		}
	}
}
