package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const (
	docsFile  = "../../docs/configuration.md"
	docsBegin = "<!-- made by `go test ./internal/config -update`: begin -->\n"
	docsEnd   = "<!-- made by `go test ./internal/config -update`: end -->\n"
)

func table() string {
	var b strings.Builder
	b.WriteString("| variable | default | used by | meaning |\n| --- | --- | --- | --- |\n")
	for _, v := range config.Documented() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.Name, v.Default, v.Process, strings.ReplaceAll(v.Meaning, "|", `\|`))
	}
	return b.String()
}

func TestDocumentationShowsEverySetting(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(page), docsBegin)
	got, after, ok2 := strings.Cut(rest, docsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the marks of the table", docsFile)
	}
	if *update {
		if err := os.WriteFile(docsFile, []byte(before+docsBegin+table()+docsEnd+after), 0o600); err != nil { //nolint:gosec // a fixed path
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table(), got); diff != "" {
		t.Errorf("%s is out of date; run: go test ./internal/config -update (-want +got):\n%s", docsFile, diff)
	}
}

func TestEveryExampleSettingExists(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	settings, _, _ := bytes.Cut(example, []byte("# --- docker compose only"))
	var got, want []string
	for _, m := range regexp.MustCompile(`(?m)^#?([A-Z][A-Z0-9_]+)=`).FindAllSubmatch(settings, -1) {
		got = append(got, string(m[1]))
	}
	for _, v := range config.Documented() {
		want = append(want, v.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf(".env.example names other variables (-want +got):\n%s", diff)
	}
}

func TestUsageNamesVariablesOfTheProcess(t *testing.T) {
	t.Parallel()
	for _, process := range []string{"api", "worker"} {
		var b bytes.Buffer
		if err := config.Usage(&b, process); err != nil {
			t.Fatal(err)
		}
		for _, v := range config.Documented() {
			got := strings.Contains(b.String(), "\n  "+v.Name+" (")
			if want := v.Process == "both" || v.Process == process; got != want {
				t.Errorf("usage of the %s names %s: %v, want %v", process, v.Name, got, want)
			}
		}
		for line := range strings.Lines(b.String()) {
			if len(line) > 110 {
				t.Errorf("usage of the %s has a long line: %s", process, line)
			}
		}
	}
}
