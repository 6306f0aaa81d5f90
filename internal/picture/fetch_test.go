package picture_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// serve answers with h and counts the calls.
func serve(t *testing.T, h http.HandlerFunc) (url string, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		h(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, calls
}

func newFetcher(t *testing.T, timeout time.Duration) *picture.Fetcher {
	t.Helper()
	f := picture.NewFetcher(picture.Config{Guard: netguard.Guard{AllowPrivate: true}, Timeout: timeout})
	t.Cleanup(f.CloseIdleConnections)
	return f
}

func TestFetch(t *testing.T) {
	t.Parallel()
	want := encodePNG(t, drawing(32, 32, 9))
	cases := map[string]struct {
		answer func(call int32, w http.ResponseWriter, r *http.Request)
		calls  int32
	}{
		"a picture": {func(_ int32, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(want.Data) }, 1},
		"a picture with a wrong type": {func(_ int32, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write(want.Data)
		}, 1},
		"trouble first": {func(call int32, w http.ResponseWriter, _ *http.Request) {
			if call == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write(want.Data)
		}, 2},
		"a connection that breaks first": {func(call int32, w http.ResponseWriter, _ *http.Request) {
			if call < 3 {
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write(want.Data[:50])
				panic(http.ErrAbortHandler)
			}
			_, _ = w.Write(want.Data)
		}, 3},
		"a redirect": {func(call int32, w http.ResponseWriter, r *http.Request) {
			if call == 1 {
				http.Redirect(w, r, "/moved", http.StatusFound)
				return
			}
			_, _ = w.Write(want.Data)
		}, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			url, calls := serve(t, func(w http.ResponseWriter, r *http.Request) { c.answer(n.Add(1), w, r) })
			got, err := newFetcher(t, time.Minute).Fetch(t.Context(), url+"/a.png?signature=s3cr3t")
			if err != nil || got.Format != picture.PNG || !bytes.Equal(got.Data, want.Data) {
				t.Fatalf("got %s of %d bytes, %v", got.Format, len(got.Data), err)
			}
			if calls.Load() != c.calls {
				t.Errorf("%d calls, want %d", calls.Load(), c.calls)
			}
		})
	}
}

func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		answer http.HandlerFunc
		calls  int32 // 0: any number
	}{
		"a page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write([]byte("<html>Just a moment</html>"))
		}, 1},
		"nothing":            {func(http.ResponseWriter, *http.Request) {}, 1},
		"404":                {http.NotFound, 1},
		"403":                {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, 1},
		"lasting trouble":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, 3},
		"redirects for ever": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }, 4},
		"a redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "ftp://example.com/", http.StatusFound)
		}, 1},
		"a promise of too much": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000000")
			_, _ = w.Write([]byte("\x89PNG\r\n\x1a\n"))
		}, 1},
		"a body without end": {func(w http.ResponseWriter, r *http.Request) {
			chunk := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 1<<20)...)
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, calls := serve(t, c.answer)
			_, err := newFetcher(t, time.Minute).Fetch(t.Context(), url+"/a.png?signature=s3cr3t")
			if err == nil || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("error = %v", err)
			}
			if c.calls != 0 && calls.Load() != c.calls {
				t.Errorf("%d calls, want %d", calls.Load(), c.calls)
			}
		})
	}
}

func TestFetchGoesNowherePrivate(t *testing.T) {
	t.Parallel()
	url, calls := serve(t, func(w http.ResponseWriter, _ *http.Request) {})
	f := picture.NewFetcher(picture.Config{})
	t.Cleanup(f.CloseIdleConnections)
	for _, u := range []string{url, strings.Replace(url, "127.0.0.1", "localhost", 1), "http://169.254.169.254/latest/meta-data"} {
		if _, err := f.Fetch(t.Context(), u); !errors.Is(err, netguard.ErrAddress) {
			t.Errorf("%s: got %v, want ErrAddress", u, err)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls arrived", calls.Load())
	}
}

func TestFetchEndsInTime(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if _, err := newFetcher(t, 50*time.Millisecond).Fetch(t.Context(), url); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := newFetcher(t, time.Minute).Fetch(ctx, url); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
}
