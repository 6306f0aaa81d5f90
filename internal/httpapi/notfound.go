package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

func (s *Server) notFound(_ http.ResponseWriter, r *http.Request) error {
	return &imagegen.Error{
		Kind:    imagegen.KindUnknownURL,
		Message: fmt.Sprintf("Unknown request URL: %s %s. Check the base URL that your client is set up with.", clip(r.Method), clip(exchangeOf(r).path)),
	}
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if m == http.MethodGet && slices.Contains(rounds, r.URL.RawPath) {
			continue // only for calls that were sent round
		}
		if s.mux.Match(chi.NewRouteContext(), m, r.URL.RawPath) {
			allowed = append(allowed, m)
			if m == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	if allowed == nil { // chi sends methods that it does not know here, whatever the path
		return s.notFound(w, r)
	}
	allow := strings.Join(append(allowed, http.MethodOptions), ", ")
	w.Header().Set("Allow", allow)
	return &imagegen.Error{
		Kind:    imagegen.KindMethodNotAllowed,
		Message: fmt.Sprintf("%s is not allowed here; use one of %s.", clip(r.Method), allow),
	}
}

// clip bounds what is repeated of a client's words.
func clip(s string) string {
	runes := []rune(s)
	if len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return s
}
