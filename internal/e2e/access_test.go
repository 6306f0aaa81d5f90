package e2e_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{noWorker: true})
	for name, c := range map[string]struct {
		header, value string
		status        int
	}{
		"none":                     {"Authorization", "", http.StatusUnauthorized},
		"a wrong one":              {"Authorization", "Bearer sk-wrong", http.StatusUnauthorized},
		"the start of a right one": {"Authorization", "Bearer " + clientKey[:len(clientKey)-1], http.StatusUnauthorized},
		"two right ones":           {"Authorization", "Bearer sk-other," + clientKey, http.StatusUnauthorized},
		"the upstream's":           {"Authorization", "Bearer " + upstreamKey, http.StatusUnauthorized},
		"a right one":              {"Authorization", "Bearer " + clientKey, http.StatusOK},
		"another right one":        {"X-Api-Key", "sk-other", http.StatusOK},
		"a right one, Azure's way": {"Api-Key", clientKey, http.StatusOK},
	} {
		r := g.send(http.MethodGet, "/v1/models", "", map[string]string{c.header: c.value})
		var e errorBody
		r.into(t, &e)
		if r.status != c.status || c.status == http.StatusUnauthorized && (e.Error.Code != "invalid_api_key" || e.Error.Type != "invalid_request_error") {
			t.Errorf("%s: %d %s, want %d", name, r.status, r.body, c.status)
		}
	}
}

// TestBrowsersMayCall does what a page of another origin does: it asks first, then calls, and has to be able to read
// what went wrong.
func TestBrowsersMayCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	const asked = "authorization,content-type,x-stainless-os"
	preflight := g.send(http.MethodOptions, "/v1/chat/completions", "", map[string]string{
		"Origin": "https://app.example", "Access-Control-Request-Method": http.MethodPost, "Access-Control-Request-Headers": asked,
	})
	if preflight.status != http.StatusNoContent || !strings.EqualFold(preflight.header.Get("Access-Control-Allow-Headers"), asked) ||
		preflight.header.Get("Access-Control-Allow-Origin") != "*" ||
		!strings.Contains(preflight.header.Get("Access-Control-Allow-Methods"), http.MethodPost) {
		t.Errorf("preflight: %d %v", preflight.status, preflight.header)
	}
	const body = `{"model":"Z-Image","messages":[{"role":"user","content":"a cat"}]}`
	for name, c := range map[string]struct {
		key, body string
		status    int
	}{
		"a picture":   {clientKey, body, http.StatusOK},
		"a wrong key": {"sk-wrong", body, http.StatusUnauthorized},
		"a bad body":  {clientKey, "{", http.StatusBadRequest},
	} {
		r := g.send(http.MethodPost, "/v1/chat/completions", c.body, map[string]string{
			"Origin": "https://app.example", "Authorization": "Bearer " + c.key, "Content-Type": "application/json",
		})
		if r.status != c.status || r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
		exposed := strings.ToLower(r.header.Get("Access-Control-Expose-Headers"))
		for _, want := range []string{"x-request-id", "x-job-id", "retry-after", "x-should-retry", "location"} {
			if !strings.Contains(exposed, want) {
				t.Errorf("%s: pages cannot read %s, only %s", name, want, exposed)
			}
		}
	}
}
