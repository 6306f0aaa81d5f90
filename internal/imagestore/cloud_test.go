package imagestore_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// newS3 starts a service that speaks S3 and has the bucket "pictures". wrap may stand before it.
func newS3(t *testing.T, wrap func(http.Handler) http.Handler) (storeURL string, backend *s3mem.Backend) {
	t.Helper()
	backend = s3mem.New()
	if err := backend.CreateBucket("pictures"); err != nil {
		t.Fatal(err)
	}
	h := gofakes3.New(backend).Server()
	if wrap != nil {
		h = wrap(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return "s3://pictures?region=eu-central-1&use_path_style=true&endpoint=" + url.QueryEscape(server.URL), backend
}

// s3Names returns the names in the bucket.
func s3Names(t *testing.T, backend *s3mem.Backend) []string {
	t.Helper()
	list, err := backend.ListBucket("pictures", nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, o := range list.Contents {
		all = append(all, o.Key)
	}
	return all
}

func TestS3Prefix(t *testing.T) {
	t.Parallel()
	storeURL, backend := newS3(t, nil)
	s := newFixture(t, redistest.Mini(t), storeURL+"&prefix=gateway/")
	name := put(t, s.Store, "job_1")
	if names := s3Names(t, backend); len(names) != 1 || names[0] != "gateway/"+name {
		t.Errorf("the bucket holds %v", names)
	}
	o, err := backend.GetObject("pictures", "gateway/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Contents.Close() }()
	if o.Metadata["Content-Type"] != "image/png" {
		t.Errorf("metadata %v", o.Metadata)
	}
	sweep(t, s.Store)
	if names := s3Names(t, backend); len(names) != 0 {
		t.Errorf("the sweep leaves %v", names)
	}
}

func TestGCSPrefix(t *testing.T) {
	t.Parallel()
	s := newFixture(t, redistest.Mini(t), "gs://pictures?anonymous=true&prefix=alone/")
	name := put(t, s.Store, "job_1")
	if names := gcs.names("alone/"); len(names) != 1 || names[0] != "alone/"+name {
		t.Errorf("the bucket holds %v", names)
	}
	sweep(t, s.Store)
	if names := gcs.names("alone/"); len(names) != 0 {
		t.Errorf("the sweep leaves %v", names)
	}
}

// TestS3GoesDown is an outage between two pictures.
func TestS3GoesDown(t *testing.T) {
	t.Parallel()
	down := make(chan struct{})
	storeURL, backend := newS3(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-down:
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	s := newFixture(t, redistest.Mini(t), storeURL)
	put(t, s.Store, "job_1")
	close(down)
	name := put(t, s.Store, "job_1")
	if !has(t, s.Store, name) {
		t.Error("the picture of the outage is lost")
	}
	if n := s.places.counts()[imagestore.Fallback]; n != 1 || len(s3Names(t, backend)) != 1 {
		t.Errorf("%d pictures fell back, %d are in the bucket", n, len(s3Names(t, backend)))
	}
	if err := s.Sweep(t.Context()); err == nil {
		t.Error("a sweep that could not delete succeeds")
	}
	if n := s.client.ZCard(t.Context(), dueKey).Val(); n != 2 {
		t.Errorf("%d entries stay due, want 2", n)
	}
}

// TestUnusableClouds has every mistake that can be found at the start found there, in one line.
func TestUnusableClouds(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	working, _ := newS3(t, nil)
	refusing, _ := newS3(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code>\n<Message>Access\nDenied</Message></Error>"))
		})
	})
	undeletable, _ := newS3(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	for is, c := range map[string]struct{ url, says string }{
		"credentials":             {"s3://key:" + secret + "@pictures", "credentials are taken from the environment"},
		"credentials for Google":  {"gs://key:" + secret + "@pictures", "credentials are taken from the environment"},
		"no bucket":               {"s3://?region=eu-central-1", "the name of a bucket alone"},
		"a path":                  {"gs://pictures/" + secret, "the name of a bucket alone"},
		"an address":              {"s3://127.0.0.1:9000", "the name of a bucket alone"},
		"an unknown parameter":    {working + "&secret_key=" + secret, `no parameter "secret_key"`},
		"a signer's parameter":    {"gs://pictures?private_key_path=" + secret, `no parameter "private_key_path"`},
		"no boolean":              {"gs://pictures?anonymous=perhaps", "true or false"},
		"no boolean for S3":       {working + "&fips=perhaps", "fips"},
		"parameters that are odd": {"s3://pictures?a=%zz" + secret, "cannot be read"},
		"credentials in endpoint": {"s3://pictures?endpoint=http://key:" + secret + "@127.0.0.1:1", "without user name and password"},
		"no endpoint":             {"s3://pictures?endpoint=127.0.0.1:9000", "http(s) URL"},
		"another bucket":          {strings.Replace(working, "pictures", "others", 1), "NoSuchBucket"},
		"another bucket, Google":  {"gs://others?anonymous=true", "404"},
		"no rights":               {refusing, "AccessDenied"},
		"no right to delete":      {undeletable, "delete from the bucket"},
		"nobody there":            {"s3://pictures?region=eu-central-1&use_path_style=true&endpoint=http://127.0.0.1:1", "refused"},
	} {
		t.Run(is, func(t *testing.T) {
			t.Parallel()
			s, err := imagestore.Open(t.Context(), imagestore.Config{URL: c.url})
			if err == nil {
				_ = s.Close()
				t.Fatalf("%s is accepted", c.url)
			}
			if text := err.Error(); !strings.Contains(text, c.says) || strings.Contains(text, secret) || strings.Contains(text, "\n") || len(text) > 600 {
				t.Errorf("%q, want a line with %q", text, c.says)
			}
		})
	}
}

// TestSilentCloud is a bucket that never answers: the start waits for it, within bounds.
func TestSilentCloud(t *testing.T) {
	t.Parallel()
	storeURL, _ := newS3(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that its client is gone
			<-r.Context().Done()
		})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if s, err := imagestore.Open(ctx, imagestore.Config{URL: storeURL}); err == nil {
		_ = s.Close()
		t.Error("a bucket that does not answer is accepted")
	}
}
