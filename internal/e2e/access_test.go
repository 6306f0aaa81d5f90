package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
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

// TestNamedKeys has two users on one gateway, one of whom may use one model only.
func TestNamedKeys(t *testing.T) {
	t.Parallel()
	of := func(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }
	g := newGateway(t, setup{noWorker: true, apiEnv: []string{configFile(t, `
models:
  - {id: Z-Image, model_index: 5}
  - {id: Other, model_index: 6, aliases: [dall-e-3]}
keys:
  - {name: alice, sha256: `+of("sk-alice")+`, models: [DALL-E-3]}
  - {name: bob, sha256: `+of("sk-bob")+`}
`)}})
	as := func(key, method, path, body string) reply {
		t.Helper()
		return g.send(method, path, body, map[string]string{"Authorization": "Bearer " + key, "Content-Type": "application/json"})
	}
	for key, want := range map[string][]string{
		"sk-alice": {"Other", "dall-e-3"}, "sk-bob": {"Z-Image", "Other", "dall-e-3"}, clientKey: {"Z-Image", "Other", "dall-e-3"},
	} {
		var list struct {
			Data []struct {
				ID string `json:"id"`
			} `json:"data"`
		}
		as(key, http.MethodGet, "/v1/models", "").into(t, &list)
		var got []string
		for _, m := range list.Data {
			got = append(got, m.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is shown %v, want %v", key, got, want)
		}
	}
	for name, c := range map[string]struct {
		key, path, body string
		status          int
		code            string
	}{
		"her model":              {"sk-alice", "/v1/jobs", `{"prompt":"a","model":"dall-e-3"}`, http.StatusAccepted, ""},
		"no model, so hers":      {"sk-alice", "/v1/jobs", `{"prompt":"a"}`, http.StatusAccepted, ""},
		"another model":          {"sk-alice", "/v1/jobs", `{"prompt":"a","model":"Z-Image"}`, http.StatusForbidden, "model_not_allowed"},
		"another model, chatted": {"sk-alice", "/v1/chat/completions", `{"prompt":"a","model":"z-image","stream":true}`, http.StatusForbidden, "model_not_allowed"},
		"the same for the other": {"sk-bob", "/v1/jobs", `{"prompt":"a","model":"Z-Image"}`, http.StatusAccepted, ""},
		"an unknown key":         {"sk-carol", "/v1/jobs", `{"prompt":"a"}`, http.StatusUnauthorized, "invalid_api_key"},
		"a name for a key":       {"alice", "/v1/jobs", `{"prompt":"a"}`, http.StatusUnauthorized, "invalid_api_key"},
		"a digest for a key":     {of("sk-alice"), "/v1/jobs", `{"prompt":"a"}`, http.StatusUnauthorized, "invalid_api_key"},
	} {
		r := as(c.key, http.MethodPost, c.path, c.body)
		var e errorBody
		r.into(t, &e)
		if r.status != c.status || e.Error.Code != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, r.status, r.body, c.status, c.code)
		}
	}
	var j struct {
		ID    string `json:"id"`
		Model string `json:"model"`
	}
	as("sk-alice", http.MethodPost, "/v1/jobs", `{"prompt":"a"}`).into(t, &j)
	if j.Model != "Other" {
		t.Errorf("alice's job is for %s", j.Model)
	}
	for key, want := range map[string]int{"sk-alice": http.StatusOK, "sk-bob": http.StatusNotFound, clientKey: http.StatusNotFound} {
		if r := as(key, http.MethodGet, "/v1/jobs/"+j.ID, ""); r.status != want {
			t.Errorf("alice's job for %s: %d, want %d", key, r.status, want)
		}
	}
	line := g.api.line("alice's name", func(s string) bool { return strings.Contains(s, `"key":"alice"`) })
	if strings.Contains(g.api.output(), "sk-alice") {
		t.Errorf("her key is in the log: %s", line)
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
