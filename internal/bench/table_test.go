package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestComparison(t *testing.T) {
	t.Parallel()
	c := newComparison("Above it:", nameDirect, nameAsynq)
	figures := func(ours, direct, asynq float64) func(string) float64 {
		return func(name string) float64 {
			return map[string]float64{nameOurs: ours, nameDirect: direct, nameAsynq: asynq}[name]
		}
	}
	c.add("a call", millis, figures(0.002, 0.001, 1.016), atMost(0.0015))
	c.add("calls", perSecond, figures(2500, 10000, math.NaN()), atLeast(2100))
	c.add("memory", mebibytes, figures(1<<20, nan, 2<<20), goal{})
	want := `Above it:

|  | ours ÷ direct | ours ÷ asynq | ours | direct | asynq | goal |  |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| a call | 2.00× | 0.002× | 2.00 ms | 1.00 ms | 1,016 ms | ≤ 1.50 ms | **missed** |
| calls | 0.25× | – | 2,500/s | 10,000/s | – | ≥ 2,100/s | ✓ |
| memory | – | 0.5× | 1.00 MiB | – | 2.00 MiB |  |  |
`
	if diff := cmp.Diff(want, c.markdown()); diff != "" {
		t.Error(diff)
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	want := "Title:\n\n```text\nA\n    B\n```\n"
	if diff := cmp.Diff(want, table{title: "Title:", listing: []string{"A", "    B"}}.markdown()); diff != "" {
		t.Error(diff)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]float64{
		"0.00": 0, "0.0049": 0.0049, "0.12": 0.123, "1.23": 1.234, "12.3": 12.34, "123": 123.4, "1,234": 1234.4,
		"12,345,678": 12345678, "-1.50": -1.5, "-1,500": -1500,
	} {
		if got := number(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

func TestReportReplacesWhatWasMeasured(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "doc.md")
	const document = `# Title
<!-- bench:machine -->
old
<!-- /bench:machine -->
words
<!-- bench:one -->
<!-- /bench:one -->
<!-- bench:two -->
stays
<!-- /bench:two -->
`
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	r := report{machine: "new\n", sections: []section{{name: "one", tables: []table{{head: []string{"a", "b"}}}, when: "Today."}}}
	if err := r.update(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path) //nolint:gosec // a directory of our own
	if err != nil {
		t.Fatal(err)
	}
	want := `# Title
<!-- bench:machine -->
new
<!-- /bench:machine -->
words
<!-- bench:one -->
| a | b |
| --- | ---: |

Today.
<!-- /bench:one -->
<!-- bench:two -->
stays
<!-- /bench:two -->
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	r.sections[0].name = "three"
	if err := r.update(path); err == nil {
		t.Error("a part that the document does not have is no error")
	}
}

func TestDocumentHasAPartForEveryScenario(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.Join("..", "..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{machineMark}
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	for _, name := range names {
		if _, err := replacePart(document, name, ""); err != nil {
			t.Error(err)
		}
	}
}
