package httpapi_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
)

func small(c *httpapi.Config) { c.MaxBodyBytes = 100 }

// serve answers a request; a handler that breaks the connection off leaves what it wrote.
func serve(h http.Handler, r *http.Request) (w *httptest.ResponseRecorder) {
	w = httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a panic's value is no chain
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
	return w
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, small)
	fits := `{"prompt":"a"}` + strings.Repeat(" ", 86)
	for _, target := range []string{"/v1/chat/completions", "/v1/images/generations", "/v1/jobs"} {
		if w := send(t, s, "POST", target, fits); w.Code >= 300 {
			t.Errorf("100 bytes: got %d: %s", w.Code, w.Body)
		}
		w := send(t, s, "POST", target, fits+" ")
		wantError(t, w, 413, "request_too_large", "")
		if w.Header().Get("Connection") != "close" {
			t.Error("the connection is kept, and the body with it")
		}
		chunked := request(t, "POST", target, "")
		chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader(fits+" ")), -1
		wantError(t, serve(s, chunked), 413, "request_too_large", "")
	}
}

func TestBodyLimitOverTheNetwork(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newServer(t, &fakeJobs{}, small))
	t.Cleanup(server.Close)
	// Of unknown length, so that the limit is met while reading.
	body := io.MultiReader(strings.NewReader(`{"prompt":"a"}`), strings.NewReader(strings.Repeat(" ", 1000)))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/jobs", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", key)
	reply, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text := readAll(t, reply.Body)
	if err := reply.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if reply.StatusCode != http.StatusRequestEntityTooLarge || !reply.Close {
		t.Errorf("got %d, close %t: %s", reply.StatusCode, reply.Close, text)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errors.New("unexpected end at 10.0.0.1") }

func TestABodyThatBreaksOffIsTheClientsMistake(t *testing.T) {
	t.Parallel()
	r := request(t, "POST", "/v1/chat/completions", "")
	r.Body, r.ContentLength = io.NopCloser(brokenBody{}), -1
	message := wantError(t, serve(newServer(t, &fakeJobs{}), r), 400, "invalid_json", "")
	if strings.Contains(message, "10.0.0.1") {
		t.Errorf("got %q", message)
	}
}
