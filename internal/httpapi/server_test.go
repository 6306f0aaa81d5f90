package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	catalog, err := imagegen.NewCatalog([]imagegen.Model{imagegen.DefaultModel()})
	if err != nil {
		t.Fatal(err)
	}
	whole := httpapi.Config{Jobs: &fakeJobs{}, Catalog: catalog, Keys: []httpapi.Key{httpapi.NewKey(key)}, Logger: slog.New(slog.DiscardHandler), Pictures: fakePictures{}}
	if _, err := httpapi.New(whole); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*httpapi.Config){
		"no keys":      func(c *httpapi.Config) { c.Keys = nil },
		"an empty key": func(c *httpapi.Config) { c.Keys = append(c.Keys, httpapi.NewKey("")) },
		"a key for a model that is not": func(c *httpapi.Config) {
			c.Keys = append(c.Keys, httpapi.Key{Name: "alice", Models: []string{"nope"}})
		},
		"no jobs":      func(c *httpapi.Config) { c.Jobs = nil },
		"no catalogue": func(c *httpapi.Config) { c.Catalog = nil },
		"no logger":    func(c *httpapi.Config) { c.Logger = nil },
		"no pictures":  func(c *httpapi.Config) { c.Pictures = nil },
	} {
		c := whole
		spoil(&c)
		if _, err := httpapi.New(c); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestPathForms(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	const chat = `{"prompt":"a"}`
	cases := []struct {
		method, target, body string
		want                 int
	}{
		{"GET", "/v1/models", "", 200},
		{"GET", "/models", "", 200},
		{"GET", "/v1/v1/models", "", 200},
		{"GET", "/v1/models/", "", 200},
		{"GET", "//v1//models//", "", 200},
		{"GET", "/models/?api-version=2024-02-01", "", 200},
		{"HEAD", "/v1/models", "", 200},
		{"GET", "/v1/models/Z-Image", "", 200},
		{"GET", "/models/z-image/", "", 200},
		{"GET", "/v1/v1/models/DALL-E-3", "", 200},
		{"GET", "/v1/models/owner%2Fmodel", "", 200},
		{"GET", "/v1/models/owner/model", "", 200},
		{"GET", "/v1/models/nobody%2Fmodel", "", 404},
		{"GET", "/v1/models/%zz", "", 404},
		{"POST", "/v1/chat/completions", chat, 200},
		{"POST", "/chat/completions", chat, 200},
		{"POST", "/v1/v1/chat/completions/", chat, 200},
		{"POST", "//chat//completions?x=1", chat, 200},
		{"POST", "/v1/images/generations", chat, 200},
		{"POST", "/images/generations/", chat, 200},
		{"POST", "/v1/v1/images/generations", chat, 200},
		{"POST", "/v1/jobs", chat, 202},
		{"POST", "/jobs/", chat, 202},
		{"GET", "/healthz", "", 200},
		{"HEAD", "/healthz", "", 200},
		{"GET", "/", "", 200},
		{"HEAD", "/", "", 200},
		{"GET", "//", "", 200},
		{"GET", "/v1", "", 404},
		{"GET", "/v1/", "", 404},
		{"GET", "/v1/healthz", "", 404},
		{"GET", "/v1/v1/v1/models", "", 404},
		{"GET", "/v2/models", "", 404},
		{"GET", "/%761/models", "", 404},
		{"GET", "/v1/chat", "", 404},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			t.Parallel()
			if c.target == "/v1/models/%zz" { // no client library sends it, and none of Go's makes one
				r := request(t, c.method, "/v1/models/x", "")
				r.URL.RawPath, r.URL.Path = "", "/v1/models/%zz"
				w := serve(s, r)
				wantError(t, w, 404, "model_not_found", "model")
				return
			}
			w := send(t, s, c.method, c.target, c.body)
			if w.Code != c.want {
				t.Errorf("got %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if w.Header().Get("Location") != "" && w.Code != http.StatusAccepted {
				t.Errorf("got a redirect to %s", w.Header().Get("Location"))
			}
		})
	}
}

func TestUnknownURL(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	message := wantError(t, send(t, s, "GET", "/v1/audio/speech", ""), 404, "unknown_url", "")
	if !strings.Contains(message, "GET /v1/audio/speech") {
		t.Errorf("got %q", message)
	}
	long := wantError(t, send(t, s, "GET", "/"+strings.Repeat("a", 5000), ""), 404, "unknown_url", "")
	if len(long) > 500 {
		t.Errorf("got %d bytes of message", len(long))
	}
	wantError(t, send(t, s, "PROPFIND", "/nowhere", ""), 404, "unknown_url", "")
	wantError(t, send(t, s, "GET", "/nowhere", "", "Authorization", ""), 401, "invalid_api_key", "")
}

func TestMethodNotAllowed(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	for target, want := range map[string]string{
		"DELETE /v1/chat/completions": "POST, OPTIONS",
		"GET /images/generations":     "POST, OPTIONS",
		"HEAD /v1/images/edits":       "POST, OPTIONS",
		"PUT /v1/jobs":                "GET, HEAD, POST, OPTIONS",
		"GET /v1/jobs/x/cancel":       "POST, OPTIONS",
		"POST /v1/jobs/x/events":      "GET, HEAD, OPTIONS",
		"POST /v1/models":             "GET, HEAD, OPTIONS",
		"PUT /v1/models/x":            "GET, HEAD, OPTIONS",
		"PROPFIND /v1/jobs/x":         "GET, HEAD, DELETE, OPTIONS",
	} {
		method, path, _ := strings.Cut(target, " ")
		w := send(t, s, method, path, "")
		wantError(t, w, 405, "method_not_allowed", "")
		if got := w.Header().Get("Allow"); got != want {
			t.Errorf("%s: got Allow %q, want %q", target, got, want)
		}
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	golden(t, "models.json", send(t, s, "GET", "/v1/models", "").Body.Bytes())
	golden(t, "model.json", send(t, s, "GET", "/v1/models/DALL-E-3", "").Body.Bytes())
	message := wantError(t, send(t, s, "GET", "/v1/models/sd-1", ""), 404, "model_not_found", "model")
	if !strings.Contains(message, `"sd-1"`) {
		t.Errorf("got %q", message)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := send(t, newServer(t, &fakeJobs{}), "GET", "/healthz", "", "Authorization", "")
	if got, want := w.Body.String(), `{"status":"ok"}`+"\n"; w.Code != 200 || got != want {
		t.Errorf("got %d %q, want %q", w.Code, got, want)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	cases := map[string]struct {
		given string
		kept  bool
	}{
		"a plain one is kept":        {"req-42/x:~!", true},
		"128 characters are kept":    {strings.Repeat("x", 128), true},
		"129 characters are not":     {strings.Repeat("x", 129), false},
		"a space is not visible":     {"a b", false},
		"other scripts are not":      {"狗", false},
		"control characters are not": {"a\x7f", false},
		"an empty one is made up":    {"", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := send(t, s, "GET", "/healthz", "", "X-Request-Id", c.given).Header().Get("X-Request-Id")
			if (got == c.given) != c.kept || got == "" {
				t.Errorf("got %q of %q", got, c.given)
			}
		})
	}
	ids := map[string]bool{}
	for _, target := range []string{"/healthz", "/", "/nowhere", "/v1/models", "/v1/chat/completions"} {
		for _, method := range []string{"GET", "OPTIONS", "DELETE"} {
			ids[send(t, s, method, target, "").Header().Get("X-Request-Id")] = true
		}
	}
	if len(ids) != 15 || ids[""] {
		t.Errorf("got ids %v, want 15", ids)
	}
}

type call struct {
	route, method string
	status        int
}

type fakeMetrics struct {
	calls   []call
	fetched map[bool]int // guarded by mu
	texts   int
	mu      sync.Mutex
}

func (f *fakeMetrics) PictureFetched(ok bool, _ time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fetched == nil {
		f.fetched = map[bool]int{}
	}
	f.fetched[ok]++
}

func (f *fakeMetrics) HousekeepingAnswered() { f.texts++ }

func (f *fakeMetrics) RequestDone(route, method string, status int, _ time.Duration) {
	f.calls = append(f.calls, call{route, method, status})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := &fakeMetrics{}
	s := newServer(t, &fakeJobs{}, func(c *httpapi.Config) { c.Metrics = m })
	send(t, s, "GET", "/v1/models/owner%2Fmodel", "")
	send(t, s, "GET", "/jobs/job_x", "")
	send(t, s, "POST", "/chat/completions", `{`)
	send(t, s, "GET", "/nowhere", "")
	send(t, s, "BREW", "/nowhere", "")
	send(t, s, "DELETE", "/models", "")
	send(t, s, "OPTIONS", "/models", "")
	send(t, s, "HEAD", "/models", "", "Authorization", "")
	want := []call{
		{"/v1/models/*", "GET", 200},
		{"/v1/jobs/{id}", "GET", 404},
		{"/v1/chat/completions", "POST", 400},
		{"unmatched", "GET", 404},
		{"unmatched", "other", 404},
		{"unmatched", "DELETE", 405},
		{"preflight", "OPTIONS", 204},
		{"/v1/models", "HEAD", 401},
	}
	if diff := cmp.Diff(m.calls, want, cmp.AllowUnexported(call{})); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := newServer(t, &fakeJobs{}, logInto(&b))
	w := send(t, s, "POST", "/v1/chat/completions?token=secret", `{"prompt":"a secret dog"}`, "X-Request-Id", "r1")
	if w.Code != 200 {
		t.Fatal(w.Body)
	}
	for _, hidden := range []string{key, "secret", "dog"} {
		if strings.Contains(b.String(), hidden) {
			t.Errorf("%q is in the log: %s", hidden, b.String())
		}
	}
	got := logged(t, &b)
	delete(got, "time")
	if _, ok := got["duration_ms"].(float64); !ok {
		t.Errorf("got duration %v", got["duration_ms"])
	}
	delete(got, "duration_ms")
	digest := sha256.Sum256([]byte(key))
	want := map[string]any{
		"level": "INFO", "msg": "request", "request_id": "r1", "method": "POST", "route": "/v1/chat/completions",
		"status": 200.0, "client": "192.0.2.1", "owner": hex.EncodeToString(digest[:4]), "job_id": "job_abc",
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestLogOfFailures(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := newServer(t, &fakeJobs{}, logInto(&b))
	send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a","n":"secret"}`)
	if got := logged(t, &b); got["kind"] != "invalid_value" || got["status"] != 400.0 || got["level"] != "INFO" {
		t.Errorf("got %v", got)
	}
	send(t, s, "GET", "/v1/nowhere-secret", "")
	if got := logged(t, &b); got["kind"] != "unknown_url" || got["route"] != "unmatched" {
		t.Errorf("got %v", got)
	}
	if strings.Contains(b.String(), "secret") {
		t.Errorf("a client's words are in the log: %s", b.String())
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		trust     bool
		forwarded string
		want      string
	}{
		"the peer's":                    {false, "203.0.113.9", "192.0.2.1"},
		"the proxy's word":              {true, "203.0.113.9, 10.0.0.1", "203.0.113.9"},
		"the proxy's word in version 6": {true, "2001:db8::1", "2001:db8::1"},
		"nonsense falls back":           {true, "secret", "192.0.2.1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			s := newServer(t, &fakeJobs{}, logInto(&b), func(cfg *httpapi.Config) { cfg.TrustProxyHeaders = c.trust })
			send(t, s, "GET", "/healthz", "", "X-Forwarded-For", c.forwarded)
			if got := logged(t, &b)["client"]; got != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}
