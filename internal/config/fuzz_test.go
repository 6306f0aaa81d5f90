package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

// Whatever is in the file, it is read or every mistake has its line; and what the file's secrets are shows in none.
func FuzzConfigFile(f *testing.F) {
	for _, seed := range []string{
		"", threeUpstreams, "a: [", "- ", "{}", "? a\n: b\n", "a: &x {<<: *x}", "%YAML 1.2\n---\n", "models: [{id: a, model_index: 1}]\n---\n",
		"keys: [{name: a, sha256: 'hunter2'}]", "models:\n- id: |\n    x\n  limits: {steps: [1, 2, 3]}\n", "upstreams: [{api_keys: [!!str x, ~, -]}]",
		"models: [{ratios: {? [a] : b, 1: 2, ~: 3, true: 4}}]", "\ufeffmodels: []", "models: {}", "'${A}': ${A}\n", "upstreams: [{name: '$${A}${A}${', url: '${A}'}]",
	} {
		f.Add(seed)
	}
	line := regexp.MustCompile(`^CONFIG_FILE: config\.yaml(:\d+:\d+)?: [^\x00-\x1f]+$`)
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := config.LoadWorker([]string{"CONFIG_FILE=" + path, "SD_API_KEY=hunter2-key", "A=hunter2-variable"})
		if err == nil {
			if len(w.Upstreams) == 0 {
				t.Error("no upstreams")
			}
			return
		}
		for l := range strings.SplitSeq(err.Error(), "\n") {
			if !line.MatchString(l) {
				t.Errorf("no line of a mistake: %q", l)
			}
		}
		if strings.Contains(err.Error(), "hunter2-") && !strings.Contains(text, "hunter2-") && !strings.Contains(text, "id:") {
			t.Errorf("a secret shows: %q", err)
		}
	})
}
