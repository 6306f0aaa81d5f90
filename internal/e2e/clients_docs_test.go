package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestClientsTable holds docs/clients.md against the tests: no row without one, no recorded request that is in no row, and
// no version that is not the one that runs.
func TestClientsTable(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	paths, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		sources.WriteString(readFile(t, path))
	}
	replayed := slices.Sorted(func(yield func(string) bool) {
		for name := range fixtures(t) {
			if !yield(name) {
				return
			}
		}
	})
	var rows int
	var named []string
	for line := range strings.Lines(readFile(t, filepath.Join("..", "..", "docs", "clients.md"))) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || strings.HasPrefix(strings.TrimSpace(cells[0]), "---") || strings.TrimSpace(cells[4]) == "test" {
			continue
		}
		rows++
		tests := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[4], -1)
		if len(tests) == 0 {
			t.Errorf("a row without a test: %s", line)
		}
		for _, m := range tests {
			name := m[1]
			if strings.HasPrefix(name, "Test") && !strings.Contains(sources.String(), "func "+name+"(") || !strings.HasPrefix(name, "Test") && !slices.Contains(replayed, name) {
				t.Errorf("%s is no test", name)
			}
			named = append(named, name)
		}
		for _, version := range released(t, strings.TrimSpace(cells[0])) {
			if !slices.ContainsFunc(version, func(v string) bool { return strings.Contains(cells[1], v) }) {
				t.Errorf("%s runs in %v, not in %s", cells[0], version, cells[1])
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows", rows)
	}
	for _, name := range replayed {
		if !slices.Contains(named, name) {
			t.Errorf("%s is in no row", name)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path) //nolint:gosec // a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// released returns the versions in which each package of a row's client is run.
func released(t *testing.T, client string) (all [][]string) {
	t.Helper()
	var npm struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join("node", "package.json"))), &npm); err != nil {
		t.Fatal(err)
	}
	d := npm.Dependencies
	alias := func(name string) string { return d[name][strings.LastIndex(d[name], "@")+1:] }
	switch client {
	case "openai-go":
		module := regexp.MustCompile(`openai-go/v3 (v\S+)`)
		return [][]string{{
			module.FindStringSubmatch(readFile(t, filepath.Join("..", "..", "go.mod")))[1],
			module.FindStringSubmatch(readFile(t, filepath.Join("oldclient", "go.mod")))[1],
		}}
	case "openai (npm)":
		return [][]string{{d["openai"]}}
	case "ai with @ai-sdk/openai-compatible":
		return [][]string{{d["ai"], alias("ai6")}, {d["@ai-sdk/openai-compatible"], alias("oc2")}}
	case "ai with @ai-sdk/openai":
		return [][]string{{d["ai"]}, {d["@ai-sdk/openai"]}}
	}
	return nil
}
