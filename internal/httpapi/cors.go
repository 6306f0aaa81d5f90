package httpapi

import (
	"net/http"

	rscors "github.com/rs/cors"
)

const preflightMaxAge = 24 * 60 * 60 // seconds; browsers cut it to what they like

// cors adds what browsers need, errors included. It goes before authentication: preflights carry no key.
//
// rs/cors echoes the headers asked for byte for byte; go-chi/cors writes them anew in canonical case, dropping
// characters that it does not know.
func cors(origins []string) func(http.Handler) http.Handler {
	return rscors.New(rscors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete},
		AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{
			"x-request-id", "x-job-id", "retry-after", "retry-after-ms", "x-should-retry", "openai-poll-after-ms",
			"location", "preference-applied", "idempotent-replayed",
			"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
		},
		MaxAge:             preflightMaxAge,
		OptionsPassthrough: true,
	}).Handler
}

// preflight ends every OPTIONS request, CORS or not: no route has another use for them.
func preflight(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		exchangeOf(r).route = "preflight"
		const methods = "GET, POST, DELETE, OPTIONS"
		// The library names only the method asked for; all of them save the browser further questions.
		if w.Header().Get("Access-Control-Allow-Methods") != "" {
			w.Header().Set("Access-Control-Allow-Methods", methods)
		}
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
	})
}
