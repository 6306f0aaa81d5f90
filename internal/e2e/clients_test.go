package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// fixture is one request as a front end sends it that cannot be run here, and what that front end needs of the reply.
// In its texts {prompt} stands for a prompt of its own, {key} for a client's key and {png} for a picture in base64.
type fixture struct {
	Client  string            `json:"client"`
	Version string            `json:"version"`
	Source  string            `json:"source"` // whole commit ids were read for this test, short ones are cited
	What    string            `json:"what"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
	Form    []formField       `json:"form"`  // multipart, in place of a body
	Times   int               `json:"times"` // the same call so often at once; 0: once
	Want    outcome           `json:"want"`
	// WantWithoutEditModel replaces Want where no model can edit pictures.
	WantWithoutEditModel *outcome `json:"want_without_edit_model"`

	prompt string
}

type formField struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Filename string `json:"filename"`
	Type     string `json:"type"`
	File     string `json:"file"` // png: the field is a small picture
}

type outcome struct {
	Status   int            `json:"status"`
	Stream   bool           `json:"stream"`
	Pictures int            `json:"pictures"` // asked for by one call
	Checks   []string       `json:"checks"`   // keys of clientChecks
	Order    map[string]any `json:"order"`    // what the upstream must be told, among other things
	Error    *struct {
		Type   string   `json:"type"`
		Params []string `json:"params"` // param is one of these
	} `json:"error"`
}

// exchange is one call of a fixture, answered.
type exchange struct {
	fixture fixture
	want    outcome
	reply   reply
	took    time.Duration
	err     error
}

// TestClients replays what front ends send, on a gateway that goes by the names they choose their image path by.
func TestClients(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{
		apiEnv: []string{
			"MODEL_ALIASES=dall-e-3,dall-e-2,gpt-image-1,grok-2-image",
			"ALLOW_PRIVATE_ADDRESSES=true", "STREAM_KEEPALIVE=40ms",
		},
		workerEnv: []string{"MODEL_ALIASES=dall-e-3,dall-e-2,gpt-image-1,grok-2-image", "ALLOW_PRIVATE_ADDRESSES=true"},
		upstream:  simupstream.Config{Latency: 150 * time.Millisecond},
	})
	for name, f := range fixtures(t) {
		want := f.Want
		if f.WantWithoutEditModel != nil {
			want = *f.WantWithoutEditModel
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replay(t, g, f, want)
		})
	}
}

// editModels is a CONFIG_FILE in which the names that clients edit with belong to a model that can.
const editModels = `models:
  - id: Z-Image
    upstream: exacg
    model_index: 5
  - id: Qwen-Image-Edit
    upstream: exacg
    model_index: 19
    edit: true
    aliases: [gpt-image-1, dall-e-2]
`

// TestClientsEdit replays the edits on a gateway that has a model for them.
func TestClientsEdit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "models.yaml")
	if err := os.WriteFile(file, []byte(editModels), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"CONFIG_FILE=" + file, "IMAGE_STORE_URL=file://" + dir, "ALLOW_PRIVATE_ADDRESSES=true"}
	g := newGateway(t, setup{
		apiEnv:    append(slices.Clone(env), "STREAM_KEEPALIVE=40ms"),
		workerEnv: env,
		upstream:  simupstream.Config{Latency: 150 * time.Millisecond},
	})
	for name, f := range fixtures(t) {
		if f.WantWithoutEditModel == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replay(t, g, f, f.Want)
		})
	}
}

// fixtures reads every fixture, by name.
func fixtures(t *testing.T) map[string]fixture {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "clients", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	all := make(map[string]fixture)
	for _, path := range paths {
		raw, err := os.ReadFile(path) //nolint:gosec // test data
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		prompt := "a lighthouse for " + name
		filled := strings.NewReplacer("{prompt}", prompt, "{key}", clientKey, "{png}", base64.StdEncoding.EncodeToString(picture(t))).Replace(string(raw))
		dec := json.NewDecoder(strings.NewReader(filled))
		dec.DisallowUnknownFields()
		f := fixture{prompt: prompt}
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[name] = f
	}
	return all
}

// replay makes a fixture's calls and checks what comes back, and that the upstream drew that and no more.
func replay(t *testing.T, g *gateway, f fixture, want outcome) {
	t.Helper()
	calls := max(f.Times, 1)
	answers := make(chan exchange, calls)
	for range calls {
		go func() { answers <- f.call(t.Context(), g, want) }()
	}
	for range calls {
		x := <-answers
		if x.err != nil {
			t.Fatal(x.err)
		}
		x.check(t)
	}
	var drawn []simupstream.Request
	for _, r := range g.upstream.Requests() {
		if r.Body.Prompt == f.prompt {
			drawn = append(drawn, r)
		}
	}
	if len(drawn) != calls*want.Pictures {
		t.Errorf("the upstream was called %d times for %d pictures", len(drawn), calls*want.Pictures)
	}
	for _, r := range drawn {
		var order map[string]any
		if err := json.Unmarshal(r.Raw, &order); err != nil {
			t.Fatal(err)
		}
		for field, asked := range want.Order {
			if diff := cmp.Diff(order[field], asked); diff != "" {
				t.Errorf("the upstream was told another %s (-got +want):\n%s", field, diff)
			}
		}
		if edits := f.WantWithoutEditModel != nil; edits != (r.Body.ImageSource != "") {
			t.Errorf("the upstream was handed the picture %q", r.Body.ImageSource)
		}
	}
}

// check holds a reply against what its client needs.
func (x exchange) check(t *testing.T) {
	t.Helper()
	if x.reply.status != x.want.Status || x.reply.header.Get("X-Request-Id") == "" {
		t.Fatalf("%d, want %d: %.1000s", x.reply.status, x.want.Status, x.reply.body)
	}
	if streams := strings.HasPrefix(x.reply.header.Get("Content-Type"), "text/event-stream"); streams != x.want.Stream {
		t.Fatalf("the reply is %s", x.reply.header.Get("Content-Type"))
	}
	if x.want.Error != nil {
		x.checkError(t)
	}
	for _, name := range x.want.Checks {
		check, ok := clientChecks[name]
		if !ok {
			t.Fatalf("no check is called %s", name)
		}
		check(t, x)
	}
}

// checkError wants an error in OpenAI's form that names the field at fault.
func (x exchange) checkError(t *testing.T) {
	t.Helper()
	var e struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Param   string `json:"param"`
			Code    string `json:"code"`
		} `json:"error"`
	}
	x.reply.into(t, &e)
	if e.Error.Type != x.want.Error.Type || e.Error.Message == "" || e.Error.Code == "" || !slices.Contains(x.want.Error.Params, e.Error.Param) {
		t.Errorf("error %s, want %s about one of %q", x.reply.body, x.want.Error.Type, x.want.Error.Params)
	}
	if got := x.reply.header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Errorf("the error is %s", got)
	}
}
