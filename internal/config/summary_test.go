package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	const yaml = "models: [{id: A, upstream: b}, {id: B, upstream: [b, c]}]\n" +
		"upstreams:\n  - {name: a, type: exacg, api_keys: [x, y]}\n  - {name: b, type: openai, url: 'http://h', api_keys: [x]}\n" +
		"  - {name: c, type: sdwebui, url: 'http://h'}\nkeys: [{name: alice, sha256: "
	for name, c := range map[string]struct{ environ, api, worker []string }{
		"without a file": {
			[]string{"GATEWAY_API_KEY=a,b,c", "SD_API_KEY=k"},
			[]string{"configuration ok: 1 models, 1 upstreams, 3 keys"},
			[]string{"configuration ok: 1 models, 1 upstreams, 1 keys"},
		},
		"with a file": {
			[]string{"GATEWAY_API_KEY=a", configFile(t, yaml+digest("x")+"}]")},
			[]string{"configuration ok: 2 models, 3 upstreams, 2 keys", "warning: upstream a: no model names it"},
			[]string{"configuration ok: 2 models, 3 upstreams, 3 keys", "warning: upstream a: no model names it"},
		},
	} {
		a, err := config.LoadAPI(c.environ)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w, err := config.LoadWorker(c.environ)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff([][]string{c.api, c.worker}, [][]string{a.Summary(), w.Summary()}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
