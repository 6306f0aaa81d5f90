package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

const storedName = "abcdefghijklmnopqrstuvwxyz.png"

// storing is a job service whose worker put every picture into the store, under the name.
func storing(name string) *fakeJobs {
	f := &fakeJobs{}
	f.waitFunc = func(context.Context, string, job.ID) (job.Job, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		j := finished(newJob(f.made[len(f.made)-1]))
		for i := range j.Pictures {
			image := *j.Pictures[i].Image
			image.File, image.URL = name, "http://127.0.0.1:1/v1/files/"+name // where nobody listens
			j.Pictures[i].Image = &image
		}
		return j, nil
	}
	return f
}

func withFiles(files *fakeFiles) func(*httpapi.Config) {
	return func(c *httpapi.Config) { c.Files = files }
}

// full is a store with the small picture.
func full(t *testing.T) *fakeFiles {
	t.Helper()
	files := &fakeFiles{}
	if err := files.Put(t.Context(), storedName, "job_abc", smallPNG(t)); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestStoredPictureAsBytes(t *testing.T) {
	t.Parallel()
	s := newServer(t, storing(storedName), withFiles(full(t)))
	want := smallPNG(t).Data
	for format, same := range map[string]bool{"": true, "png": true, "webp": false} {
		w := send(t, s, "POST", "/v1/images/generations", `{"prompt":"a","n":2,"response_format":"b64_json","output_format":"`+format+`"}`)
		for _, d := range imagesReply(t, w).Data {
			sniffed, _ := picture.Sniff(d.B64JSON)
			if d.URL != "" || bytes.Equal(d.B64JSON, want) != same || !same && sniffed != picture.WebP {
				t.Errorf("output_format %q: URL %q and %d bytes of %s", format, d.URL, len(d.B64JSON), sniffed)
			}
		}
	}
	w := send(t, s, "POST", "/v1/responses", `{"input":"a"}`)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"result":"`) {
		t.Errorf("response: %d %s", w.Code, w.Body)
	}
	w = send(t, s, "POST", "/v1/images/generations", `{"prompt":"a","stream":true}`)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"b64_json":"`) {
		t.Errorf("stream: %d %s", w.Code, w.Body)
	}
}

func TestStoredPictureThatIsGone(t *testing.T) {
	t.Parallel()
	s := newServer(t, storing(storedName), withFiles(&fakeFiles{}), withPictures(t))
	w := send(t, s, "POST", "/v1/images/generations", `{"prompt":"a","response_format":"b64_json"}`)
	if message := wantError(t, w, 502, "upstream_error", ""); !strings.Contains(message, "/v1/jobs/job_abc") {
		t.Errorf("message %q", message)
	}
}

func TestStoreThatFails(t *testing.T) {
	t.Parallel()
	files := full(t)
	files.openErr = errors.New("s3: secret detail")
	s := newServer(t, storing(storedName), withFiles(files))
	w := send(t, s, "POST", "/v1/images/generations", `{"prompt":"a","response_format":"b64_json"}`)
	if message := wantError(t, w, 503, "queue_unavailable", ""); strings.Contains(message, "secret") {
		t.Errorf("message %q", message)
	}
	w = send(t, s, "GET", "/v1/files/"+storedName, "", "Authorization", "")
	if message := wantError(t, w, 503, "queue_unavailable", ""); strings.Contains(message, "secret") {
		t.Errorf("message %q", message)
	}
	if w.Header().Get("Cache-Control") != "" || w.Header().Get("Etag") != "" {
		t.Errorf("a failure may be cached: %v", w.Header())
	}
	files.openErr = imagestore.ErrNotFound
	wantError(t, send(t, s, "GET", "/v1/files/"+storedName, ""), 404, "unknown_url", "")
}

// TestRefuseUploads is a gateway without a bucket: what was drawn is served, what clients bring is refused.
func TestRefuseUploads(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, withEditor(full(t)), func(c *httpapi.Config) { c.RefuseUploads = true })
	if w := send(t, s, "GET", "/v1/files/"+storedName, "", "Authorization", ""); w.Code != 200 || w.Body.String() != string(smallPNG(t).Data) {
		t.Errorf("got %d", w.Code)
	}
	contentType, body := upload(t, smallPNG(t).Data, "prompt", "a")
	w := send(t, s, "POST", "/v1/images/edits", body, "Content-Type", contentType)
	if message := wantError(t, w, 400, "invalid_value", "image"); !strings.Contains(message, "no image store") || len(jobs.made) != 0 {
		t.Errorf("%d jobs, message %q", len(jobs.made), message)
	}
}

// TestBaseURLOfJobs shows what workers build links of, and that it does not keep a retry from its job.
func TestBaseURLOfJobs(t *testing.T) {
	t.Parallel()
	for is, c := range map[string]struct {
		change  func(*httpapi.Config)
		headers []string
		want    string
	}{
		"of the request": {func(*httpapi.Config) {}, []string{"X-Forwarded-Host", "pics.example"}, "http://example.com"},
		"of the proxy": {
			func(c *httpapi.Config) { c.TrustProxyHeaders = true },
			[]string{"X-Forwarded-Host", "pics.example", "X-Forwarded-Proto", "https"},
			"https://pics.example",
		},
		"of the settings": {func(c *httpapi.Config) { c.PublicURL = "https://gateway.example/pics/" }, nil, "https://gateway.example/pics"},
	} {
		t.Run(is, func(t *testing.T) {
			t.Parallel()
			for path, body := range map[string]string{
				"/v1/chat/completions": `{"messages":[{"role":"user","content":"a"}]}`, "/v1/images/generations": `{"prompt":"a"}`,
				"/v1/responses": `{"input":"a","background":true}`, "/v1/jobs": `{"prompt":"a"}`,
			} {
				jobs := &fakeJobs{}
				s := newServer(t, jobs, c.change)
				headers := append([]string{"Idempotency-Key", "k"}, c.headers...)
				send(t, s, "POST", path, body, headers...)
				first := jobs.last(t)
				if first.BaseURL != c.want {
					t.Errorf("%s: base URL %q, want %q", path, first.BaseURL, c.want)
				}
				r := request(t, "POST", path, body, headers...)
				r.Host = "other.example"
				s.ServeHTTP(httptest.NewRecorder(), r)
				if again := jobs.last(t); again.Claim != first.Claim {
					t.Errorf("%s: the claim depends on the host", path)
				}
			}
		})
	}
}
