package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

// pageBlocks returns the YAML of a page by the first line of each block, which in docs/upstreams.md is the name of a file.
func pageBlocks(t *testing.T, path string) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(path) //nolint:gosec // a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	blocks := make(map[string][]string)
	for _, m := range regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```\n").FindAllStringSubmatch(string(page), -1) {
		name, _, _ := strings.Cut(m[1], "\n")
		blocks[name] = append(blocks[name], m[1])
	}
	return blocks
}

const (
	upstreamsPage = "../../docs/upstreams.md"
	readme        = "../../README.md"
)

func TestFilesOfPagesAreGood(t *testing.T) {
	t.Parallel()
	blocks := pageBlocks(t, upstreamsPage)
	if got, want := slices.Sorted(maps.Keys(blocks)), []string{"# alerts.yaml", "# compose.webui.yaml", "# config.yaml"}; !slices.Equal(got, want) {
		t.Fatalf("the page has YAML named %q, want %q", got, want)
	}
	inReadme := pageBlocks(t, readme)["models:"]
	if len(inReadme) != 1 {
		t.Errorf("the README has %d files with models", len(inReadme))
	}
	types := map[string]bool{}
	for _, text := range slices.Concat(blocks["# config.yaml"], inReadme) {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		// As the page says: the api needs none of the variables, and each process is given the same file.
		api, err := config.LoadAPI([]string{"CONFIG_FILE=" + path, "GATEWAY_API_KEY=k"})
		if err != nil {
			t.Errorf("the api refuses it: %v\n%s", err, text)
			continue
		}
		environ := []string{"CONFIG_FILE=" + path}
		for i, m := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(text, -1) {
			environ = append(environ, m[1]+"=user:password"+string(rune('0'+i)))
		}
		worker, err := config.LoadWorker(environ)
		if err != nil {
			t.Errorf("the worker refuses it: %v\n%s", err, text)
			continue
		}
		for _, line := range slices.Concat(api.Summary(), worker.Summary()) {
			if strings.HasPrefix(line, "warning") {
				t.Errorf("%s\n%s", line, text)
			}
		}
		for _, u := range worker.Upstreams {
			types[u.Type] = true
		}
	}
	if len(types) != 3 {
		t.Errorf("the page has files for %v only", types)
	}
}

func TestUpstreamsPageComposeFile(t *testing.T) {
	t.Parallel()
	type service struct {
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
	}
	var compose struct {
		Services map[string]service `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(pageBlocks(t, upstreamsPage)["# compose.webui.yaml"][0]), &compose); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api", "worker"} {
		s := compose.Services[name]
		mounted := slices.ContainsFunc(s.Volumes, func(v string) bool { return strings.HasSuffix(v, ":"+s.Environment["CONFIG_FILE"]+":ro") })
		if s.Environment["CONFIG_FILE"] == "" || !mounted {
			t.Errorf("the %s does not see its file: %+v", name, s)
		}
	}
}
