package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const threeUpstreams = `
models:
  - {id: A, upstream: [main, Other_1], model_index: 3}
  - {id: B, upstream: Other_1}
  - {id: C, upstream: local.sd}
  - {id: D, model_index: 4}
upstreams:
  - {name: main, type: exacg, api_keys: ["${SD_API_KEY}", "${SECOND}-x"], max_concurrency: "${LIMIT}", timeout: 90s, retry_ambiguous: false}
  - name: Other_1
    type: openai
    url: https://api.example.com/v1
    api_keys: [literal]
    models: {A: provider/a-1.5, B: "${B_NAME}"}
    fields: {seed: seed, steps: num_inference_steps}
    response_format: url
  - {name: local.sd, type: sdwebui, url: "http://${SD_HOST}:7860", models: {C: "dream shaper.safetensors"}, timeout: "${UNUSUAL}"}
`

func threeUpstreamsEnviron(t *testing.T) []string {
	t.Helper()
	return []string{
		configFile(t, threeUpstreams), "LIMIT=4", "B_NAME=gpt: {x}, '\"#", "SD_HOST=10.0.0.7", "UNUSUAL=1h", "UPSTREAM_TIMEOUT=1m",
		"SD_API_URL=https://sd.example/generate", "GATEWAY_API_KEY=k",
	}
}

func TestUpstreams(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "second")
	if err := os.WriteFile(secret, []byte("two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := append(threeUpstreamsEnviron(t), "SD_API_KEY=one", "SECOND_FILE="+secret)
	want := []config.Upstream{
		{
			Name: "main", Type: "exacg", URL: "https://sd.example/generate", APIKeys: []config.Secret{"one", "two-x"},
			MaxConcurrency: 4, Timeout: 90 * time.Second,
		},
		{
			Name: "Other_1", Type: "openai", URL: "https://api.example.com/v1", APIKeys: []config.Secret{"literal"}, Timeout: time.Minute,
			RetryAmbiguous: true, Models: map[string]string{"A": "provider/a-1.5", "B": "gpt: {x}, '\"#"},
			Fields: map[string]string{"seed": "seed", "steps": "num_inference_steps"}, ResponseFormat: "url",
		},
		{
			Name: "local.sd", Type: "sdwebui", URL: "http://10.0.0.7:7860", Timeout: time.Hour, RetryAmbiguous: true,
			Models: map[string]string{"C": "dream shaper.safetensors"},
		},
	}
	w, err := config.LoadWorker(environ)
	if err != nil {
		t.Fatal(err)
	}
	a, standalone, err := config.LoadStandalone(environ)
	if err != nil {
		t.Fatal(err)
	}
	for process, got := range map[string][]config.Upstream{"worker": w.Upstreams, "standalone": standalone.Upstreams} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: upstreams (-want +got):\n%s", process, diff)
		}
	}
	for process, models := range map[string][]imagegen.Model{"worker": w.Models, "standalone": standalone.Models, "standalone's api": a.Models} {
		got := map[string][]string{}
		for _, m := range models {
			got[m.ID] = m.Upstreams
		}
		want := map[string][]string{"A": {"main", "Other_1"}, "B": {"Other_1"}, "C": {"local.sd"}, "D": {"main"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: upstreams of the models (-want +got):\n%s", process, diff)
		}
	}
}

// What is an upstream's secret stays out of the api, even where it is at hand.
func TestAPIKnowsNoUpstreamKeys(t *testing.T) {
	t.Parallel()
	want := []config.Upstream{{Name: "main", Type: "exacg"}, {Name: "Other_1", Type: "openai"}, {Name: "local.sd", Type: "sdwebui"}}
	for _, more := range [][]string{nil, {"SD_API_KEY=one", "SECOND=two"}, {"SECOND_FILE=/nowhere"}} {
		c, err := config.LoadAPI(append(threeUpstreamsEnviron(t), more...))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Upstreams); diff != "" {
			t.Errorf("upstreams (-want +got):\n%s", diff)
		}
	}
	_, err := config.LoadWorker(threeUpstreamsEnviron(t))
	want2 := fileLines([]string{"8:42: upstreams[0].api_keys[0]: the variable SD_API_KEY is not set", "8:59: upstreams[0].api_keys[1]: the variable SECOND is not set"})
	if err == nil || err.Error() != strings.Join(want2, "\n") {
		t.Errorf("worker: error is %v, want %q", err, want2)
	}
}

// The worker is not handed what only the api needs.
func TestWorkerReadsNoClientKeys(t *testing.T) {
	t.Parallel()
	file := configFile(t, "keys: [{name: a, sha256: \"${ALICE}\"}, {name: b, sha256: \"${BOB}\"}]")
	if _, err := config.LoadWorker([]string{file, "SD_API_KEY=k"}); err != nil {
		t.Errorf("worker: %v", err)
	}
	c, err := config.LoadAPI([]string{file, "ALICE=" + digest("a"), "BOB=" + digest("b")})
	if err != nil || len(c.ClientKeys) != 2 {
		t.Errorf("api: %d keys, error is %v", len(c.ClientKeys), err)
	}
	_, err = config.LoadAPI([]string{file, "ALICE=" + digest("a")})
	if want := "CONFIG_FILE: config.yaml:1:57: keys[1].sha256: the variable BOB is not set"; err == nil || err.Error() != want {
		t.Errorf("api: error is %v, want %q", err, want)
	}
}

// Without models of its own a file with upstreams offers the default one, drawn by the first.
func TestUpstreamsWithoutModels(t *testing.T) {
	t.Parallel()
	w, err := config.LoadWorker([]string{configFile(t, "upstreams: [{name: o, type: openai, url: 'https://h', models: {Z-Image: z}}]")})
	if err != nil {
		t.Fatal(err)
	}
	want := imagegen.DefaultModel()
	want.Upstreams = []string{"o"}
	if diff := cmp.Diff([]imagegen.Model{want}, w.Models); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
}

func TestStandaloneUpstreams(t *testing.T) {
	t.Parallel()
	own := configFile(t, "upstreams: [{name: x, type: sdwebui, url: 'http://h'}]")
	models := configFile(t, "models: [{id: A, model_index: 1}]")
	for name, c := range map[string]struct {
		environ  []string
		upstream string
		keys     int
	}{
		"simulated":                   {nil, "exacg", 0},
		"simulated, with models":      {[]string{models}, "exacg", 0},
		"with a key":                  {[]string{models, "SD_API_KEY=k"}, "exacg", 1},
		"of the file":                 {[]string{own}, "x", 0},
		"of the file, beside a key":   {[]string{own, "SD_API_KEY=k"}, "x", 0},
		"of the file, beside an URL":  {[]string{own, "SD_API_URL=http://h"}, "x", 0},
		"of the file, beside another": {[]string{own, "SD_API_URL=http://h", "SD_API_KEY=k"}, "x", 0},
	} {
		_, w, err := config.LoadStandalone(c.environ)
		if err != nil || len(w.Upstreams) != 1 || w.Upstreams[0].Name != c.upstream || len(w.Upstreams[0].APIKeys) != c.keys {
			t.Errorf("%s: upstreams are %+v, error is %v", name, w.Upstreams, err)
		}
	}
}

func TestUpstreamMistakes(t *testing.T) {
	t.Parallel()
	const naming = "a name is 1 to 64 letters, digits, dots, underscores and hyphens"
	const modelName = "a name is 1 to 300 bytes on one line, without spaces around it"
	for name, c := range map[string]struct {
		yaml    string
		environ []string
		want    []string // behind the file's name
	}{
		"nothing in an entry": {yaml: "upstreams: [{}]", want: []string{"1:13: upstreams[0].name: this is required", "1:13: upstreams[0].type: this is required"}},
		"names": {
			yaml: "upstreams:\n" + strings.Join([]string{
				"  - {name: a b, type: sdwebui, url: 'http://h'}", "  - {name: '{x}', type: sdwebui, url: 'http://h'}",
				"  - {name: Webhooks, type: sdwebui, url: 'http://h'}", "  - {name: a, type: sdwebui, url: 'http://h'}",
				"  - {name: A, type: sdwebui, url: 'http://h'}", "  - {name: a-fast, type: sdwebui, url: 'http://h'}",
				"  - {name: " + strings.Repeat("x", 65) + ", type: sdwebui, url: 'http://h'}",
			}, "\n"),
			want: []string{
				"2:12: upstreams[0].name: " + naming, "3:12: upstreams[1].name: " + naming,
				"4:12: upstreams[2].name: webhooks is the name of another queue",
				"6:12: upstreams[4].name: the name is taken (case does not count)", "8:12: upstreams[6].name: " + naming,
			},
		},
		"types": {yaml: "upstreams: [{name: a, type: EXACG}]", want: []string{`1:29: upstreams[0].type: "EXACG" is not exacg, openai or sdwebui`}},
		"addresses": {
			yaml: "upstreams:\n" + strings.Join([]string{
				"  - {name: a, type: openai}", "  - {name: b, type: openai, url: ''}", "  - {name: c, type: sdwebui, url: 'ftp://hunter2'}",
				"  - {name: d, type: sdwebui, url: 'http://u:hunter2@h'}", "  - {name: e, type: sdwebui, url: 'http://h/?key=hunter2#x'}",
				"  - {name: f, type: sdwebui, url: 'http://%hunter2'}", "  - {name: g, type: sdwebui, url: 'http://h/?key=hunter2'}",
			}, "\n"),
			want: []string{
				"2:5: upstreams[0].url: this is required", "3:34: upstreams[1].url: not an absolute URL such as https://example.com/path",
				"4:35: upstreams[2].url: not an absolute URL such as https://example.com/path",
				"5:35: upstreams[3].url: a user and a password do not belong here: put the secret under api_keys",
				"6:35: upstreams[4].url: the address of an upstream has no fragment",
				"7:35: upstreams[5].url: not an absolute URL such as https://example.com/path",
			},
		},
		"keys": {
			yaml: "upstreams:\n" + strings.Join([]string{
				"  - {name: a, type: exacg}", "  - {name: b, type: exacg, api_keys: []}",
				"  - {name: c, type: exacg, api_keys: [hunter2, '', hunter2, 'hunter2 x']}",
				"  - {name: d, type: exacg, api_keys: hunter2}", "  - {name: e, type: exacg, api_keys: hunter1, hunter2}",
				"  - {name: f, type: exacg, api_keys: [[hunter2]]}", "  - {name: g, type: exacg, api_keys: [4711]}",
				"  - {name: h, type: sdwebui, url: 'http://h', api_keys: ['me:hunter2', hunter2, ':hunter2']}",
			}, "\n"),
			want: []string{
				"2:5: upstreams[0].api_keys: at least one is required for the type exacg",
				"3:38: upstreams[1].api_keys: at least one is required for the type exacg",
				"4:48: upstreams[2].api_keys[1]: the key is empty",
				"4:52: upstreams[2].api_keys[2]: the key is listed twice",
				"4:61: upstreams[2].api_keys[3]: the key holds a character that no HTTP header can carry (only visible ASCII is possible)",
				"5:38: upstreams[3].api_keys: this is not a list", "6:38: upstreams[4].api_keys: this is not a list",
				"6:47: upstreams[4]: an unknown field without a value",
				"7:39: upstreams[5].api_keys[0]: this is a list or a mapping where a single value is expected",
				"8:39: upstreams[6].api_keys[0]: its value is a number where text is expected: put it in quotes",
				"9:72: upstreams[7].api_keys[1]: the key is not the user:password of the server's --api-auth",
				"9:81: upstreams[7].api_keys[2]: the key is not the user:password of the server's --api-auth",
			},
		},
		"limits": {
			yaml: "upstreams:\n" + strings.Join([]string{
				"  - {name: a, type: sdwebui, url: 'http://h', max_concurrency: -1}", "  - {name: b, type: sdwebui, url: 'http://h', max_concurrency: 10001}",
				"  - {name: c, type: sdwebui, url: 'http://h', timeout: 0s}", "  - {name: d, type: sdwebui, url: 'http://h', timeout: 61m}",
				"  - {name: e, type: sdwebui, url: 'http://h', timeout: 30}", "  - {name: f, type: sdwebui, url: 'http://h', retry_ambiguous: 1}",
			}, "\n"),
			want: []string{
				"2:64: upstreams[0].max_concurrency: -1 is outside 0 to 10000", "3:64: upstreams[1].max_concurrency: 10001 is outside 0 to 10000",
				"4:56: upstreams[2].timeout: 0s is outside 1ms to 1h0m0s", "5:56: upstreams[3].timeout: 1h1m0s is outside 1ms to 1h0m0s",
				`6:56: upstreams[4].timeout: "30" is not a duration such as 500ms, 30s or 5m`, `7:64: upstreams[5].retry_ambiguous: "1" is neither true nor false`,
			},
		},
		"models": {
			yaml: "models: [{id: A, upstream: a}, {id: B, upstream: [b, a]}]\nupstreams:\n" + strings.Join([]string{
				"  - {name: a, type: openai, url: 'http://h', models: {A: x, C: x, B: '', a: x}}", "  - {name: b, type: sdwebui, url: 'http://h', models: {A: ' x', B: }}",
				"  - {name: c, type: exacg, api_keys: [k], models: {A: x}}", "  - {name: d, type: exacg, api_keys: [k], models: {}}",
			}, "\n"),
			want: []string{
				`3:64: upstreams[0].models["C"]: there is no model with this id`, `3:70: upstreams[0].models["B"]: ` + modelName,
				`3:77: upstreams[0].models["a"]: there is no model with this id`, `4:59: upstreams[1].models["A"]: the model does not name this upstream`,
				`4:59: upstreams[1].models["A"]: ` + modelName, `4:65: upstreams[1].models["B"]: this entry is empty`,
				"5:51: upstreams[2].models: the type exacg knows models by their model_index",
			},
		},
		"fields": {
			yaml: "upstreams:\n" + strings.Join([]string{
				"  - {name: a, type: openai, url: 'http://h', response_format: png, fields: {seed: s, step: x, cfg: '', steps: size}}",
				"  - {name: b, type: sdwebui, url: 'http://h', response_format: url, fields: {seed: s}}",
			}, "\n"),
			want: []string{
				`2:63: upstreams[0].response_format: "png" is not url, b64_json, base64 or none`,
				`2:92: upstreams[0].fields["step"]: there are seed, steps, cfg and negative_prompt`,
				`2:100: upstreams[0].fields["cfg"]: a field's name is 1 to 64 visible ASCII characters`,
				`2:111: upstreams[0].fields["steps"]: the field size has another meaning`,
				"3:64: upstreams[1].response_format: only the type openai has this", "3:77: upstreams[1].fields: only the type openai has this",
			},
		},
		"variables": {
			yaml: "upstreams:\n" + strings.Join([]string{
				"  - {name: '${A', type: '${HUNTER}', url: '${}', api_keys: ['$${x}'], max_concurrency: '${HUNTER}', timeout: '${HUNTER}', retry_ambiguous: '${HUNTER}'}",
				"  - {name: '${NONE}${HUNTER}', type: '${EMPTY}', url: '${URL}'}",
				"models: [{id: A, upstream: '${HUNTER}', default_size: '${HUNTER}', cfg: '${HUNTER}', default_response_format: '${HUNTER}'}]",
			}, "\n"),
			environ: []string{"HUNTER=hunter2", "EMPTY=", "URL=http://hunter2:x@h"},
			want: []string{
				"2:12: upstreams[0].name: ${ is not followed by the name of a variable and }: for the two characters themselves write $${",
				"2:25: upstreams[0].type: its value is not exacg, openai or sdwebui",
				"2:43: upstreams[0].url: ${ is not followed by the name of a variable and }: for the two characters themselves write $${",
				"2:88: upstreams[0].max_concurrency: its value is not a whole number", "2:110: upstreams[0].timeout: its value is not a duration such as 500ms, 30s or 5m",
				"2:140: upstreams[0].retry_ambiguous: its value is neither true nor false",
				"3:12: upstreams[1].name: the variable NONE is not set", "3:38: upstreams[1].type: the variable EMPTY is not set",
				"3:55: upstreams[1].url: a user and a password do not belong here: put the secret under api_keys",
				"4:55: models[0].default_size: its value is not a size such as 1024x768", "4:73: models[0].cfg: its value is not a number",
				"4:111: models[0].default_response_format: its value is not url, b64_json or both",
			},
		},
		"a secret from two places":        {yaml: "upstreams: [{name: a, type: exacg, api_keys: ['${A}']}]", environ: []string{"A=hunter2", "A_FILE=/nowhere"}, want: []string{"1:47: upstreams[0].api_keys[0]: A_FILE is set together with A: only one of them can count"}},
		"a secret from no file":           {yaml: "upstreams: [{name: a, type: exacg, api_keys: ['${A}']}]", environ: []string{"A_FILE=/hunter2"}, want: []string{"1:47: upstreams[0].api_keys[0]: A_FILE is not a file with the value: no such file or directory"}},
		"no secret is read from a file":   {yaml: "upstreams: [{name: '${A}', type: sdwebui, url: 'http://h'}]", environ: []string{"A_FILE=/hunter2"}, want: []string{"1:20: upstreams[0].name: the variable A is not set"}},
		"what a variable holds is a text": {yaml: "upstreams: [{name: '${A}', type: sdwebui, url: 'http://h'}]", environ: []string{"A=a, type: exacg", "B=x"}, want: []string{"1:20: upstreams[0].name: " + naming}},
		"and is not looked at again":      {yaml: "upstreams: [{name: '${A}', type: sdwebui, url: 'http://h'}]", environ: []string{"A=${B}", "B=x"}, want: []string{"1:20: upstreams[0].name: " + naming}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.LoadWorker(append([]string{configFile(t, c.yaml)}, c.environ...))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(fileLines(c.want), strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret shows: %s", err)
			}
		})
	}
}
