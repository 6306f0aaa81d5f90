package httpapi_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
)

// openAPI returns the document as clients get it.
func openAPI(t *testing.T) []byte {
	t.Helper()
	w := send(t, newServer(t, &fakeJobs{}), http.MethodGet, "/openapi.json", "", "Authorization", "")
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != "application/json" {
		t.Fatalf("got %d of type %s", w.Code, got)
	}
	return w.Body.Bytes()
}

func TestOpenAPICopy(t *testing.T) {
	t.Parallel()
	golden(t, "../../../docs/openapi.json", openAPI(t))
}

// TestOpenAPIRoutes compares the document's operations with the routes.
func TestOpenAPIRoutes(t *testing.T) {
	t.Parallel()
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(openAPI(t), &document); err != nil {
		t.Fatal(err)
	}
	var described, routed []string
	for path, methods := range document.Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	s := newServer(t, &fakeJobs{})
	err := chi.Walk(s.Routes(), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		path := strings.Replace(route, "*", "{id}", 1)
		// Where a POST may be sent round, GET is only for calls that were; the redirect is described where it begins.
		post, _ := document.Paths[path]["post"].(map[string]any)
		replies, _ := post["responses"].(map[string]any)
		if method != http.MethodGet || replies["303"] == nil {
			routed = append(routed, method+" "+path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(described)
	slices.Sort(routed)
	if diff := cmp.Diff(described, routed); diff != "" {
		t.Errorf("operations (-document +routes):\n%s", diff)
	}
}
