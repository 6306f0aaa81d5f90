package picture_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// TestFetchKeepsTheQuery has servers that would have the fetcher tell a signed URL to others.
func TestFetchKeepsTheQuery(t *testing.T) {
	t.Parallel()
	var referer string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bad":
			w.Header().Set("Location", "http://bad host/?signature=s3cr3t")
			w.WriteHeader(http.StatusFound)
		case "/moved":
			w.Header().Set("Location", "/end")
			w.WriteHeader(http.StatusFound)
		default:
			referer = r.Header.Get("Referer")
		}
	}))
	t.Cleanup(srv.Close)
	f := picture.NewFetcher(picture.Config{Guard: netguard.Guard{AllowPrivate: true}})
	t.Cleanup(f.CloseIdleConnections)
	for _, path := range []string{"/bad", "/moved", "/end"} {
		_, err := f.Fetch(t.Context(), srv.URL+path+"?signature=s3cr3t")
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", path, err)
		}
		if path == "/moved" && strings.Contains(referer, "s3cr3t") {
			t.Errorf("the next server was told %s", referer)
		}
	}
}

func TestFetchRedirectToPrivate(t *testing.T) {
	t.Parallel()
	hit := false
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	t.Cleanup(private.Close)
	for _, to := range []string{private.URL, strings.Replace(private.URL, "127.0.0.1", "localhost", 1)} {
		srv := httptest.NewServer(http.RedirectHandler(to, http.StatusFound))
		f := picture.NewFetcher(picture.Config{Guard: netguard.Guard{Exempt: []string{srv.Listener.Addr().String()}}})
		_, err := f.Fetch(t.Context(), srv.URL)
		if err == nil || hit {
			t.Errorf("%v, hit: %t", err, hit)
		}
		f.CloseIdleConnections()
		srv.Close()
	}
}
