package httpapi_test

import (
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
)

func TestPreflight(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	const asked = "authorization,content-type,x-stainless-lang,x_odd.header"
	w := send(t, s, "OPTIONS", "/v1/chat/completions", "", "Authorization", "", "Origin", "https://chat.example",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", asked)
	if w.Code != 204 || w.Body.Len() > 0 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
		"Access-Control-Allow-Headers": asked,
		"Access-Control-Max-Age":       "86400",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if w.Header().Get("X-Request-Id") == "" {
		t.Error("got no request id")
	}
}

func TestPreflightsNeedNoOrigin(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	for _, target := range []string{"/v1/models", "/nowhere", "/"} {
		if w := send(t, s, "OPTIONS", target, "", "Authorization", ""); w.Code != 204 {
			t.Errorf("%s: got %d", target, w.Code)
		}
	}
}

func TestCORSOnReplies(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	for name, c := range map[string]struct {
		method, target, auth string
		want                 int
	}{
		"a success":          {"GET", "/v1/models", "Bearer " + key, 200},
		"no key":             {"GET", "/v1/models", "", 401},
		"an unknown path":    {"GET", "/nowhere", "Bearer " + key, 404},
		"a method too many":  {"DELETE", "/v1/models", "Bearer " + key, 405},
		"a body of nonsense": {"POST", "/v1/chat/completions", "Bearer " + key, 400},
	} {
		w := send(t, s, c.method, c.target, "", "Authorization", c.auth, "Origin", "https://chat.example")
		if w.Code != c.want || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: got %d %v", name, w.Code, w.Header())
		}
		exposed := strings.ToLower(w.Header().Get("Access-Control-Expose-Headers"))
		for _, h := range []string{
			"x-request-id", "x-job-id", "retry-after", "retry-after-ms", "x-should-retry", "openai-poll-after-ms", "location",
			"preference-applied", "idempotent-replayed", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
		} {
			if !strings.Contains(", "+exposed+",", ", "+h+",") {
				t.Errorf("%s: %s is not exposed: %s", name, h, exposed)
			}
		}
	}
}

func TestCORSOrigins(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, func(c *httpapi.Config) {
		c.CORSOrigins = []string{"https://a.example", "https://*.b.example"}
	})
	for origin, want := range map[string]string{
		"https://a.example":   "https://a.example",
		"https://x.b.example": "https://x.b.example",
		"https://c.example":   "",
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			w := send(t, s, method, "/v1/models", "", "Origin", origin, "Access-Control-Request-Method", "POST")
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s from %s: got %q, want %q", method, origin, got, want)
			}
			if !strings.Contains(strings.Join(w.Header().Values("Vary"), ","), "Origin") {
				t.Errorf("%s from %s: got Vary %q", method, origin, w.Header().Values("Vary"))
			}
			if got := w.Header().Get("Access-Control-Allow-Methods"); (got != "") != (want != "" && method == "OPTIONS") {
				t.Errorf("%s from %s: got methods %q", method, origin, got)
			}
		}
	}
}
