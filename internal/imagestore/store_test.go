package imagestore_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestPutAndOpen(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s fixture) {
		name := imagestore.NewName(png.Format)
		for range 2 { // as after an answer that got lost
			if err := s.Put(t.Context(), name, "job_1", png); err != nil {
				t.Fatal(err)
			}
		}
		f, err := s.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		got := imagestore.File{Size: f.Size, Format: f.Format, ETag: f.ETag}
		want := imagestore.File{Size: int64(len(png.Data)), Format: picture.PNG, ETag: `"` + name[:len(random)] + `"`}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("file (-got +want):\n%s", diff)
		}
		if age := time.Since(f.ModTime); !f.ModTime.IsZero() && (age < -time.Second || age > time.Minute) {
			t.Errorf("the picture is %v old", age)
		}
		if err := s.Delete(t.Context(), "job_1"); err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(f); err != nil || string(data) != string(png.Data) {
			t.Errorf("read %q, %v, deleted while open", data, err)
		}
	})
}

func TestServeRanges(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s fixture) {
		name := put(t, s.Store, "job_1")
		f, err := s.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		for ask, want := range map[string]string{"bytes=8-10": "012", "bytes=-3": "789", "bytes=0-3": "\x89PNG"} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+name, nil)
			req.Header.Set("Range", ask)
			reply := httptest.NewRecorder()
			http.ServeContent(reply, req, name, f.ModTime, f)
			if reply.Code != http.StatusPartialContent || reply.Body.String() != want {
				t.Errorf("%s: %d %q, want %q", ask, reply.Code, reply.Body, want)
			}
		}
	})
}

func TestOtherNamesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newFixture(t, redistest.Mini(t), fileURL(filepath.Join(dir, "pictures")))
	outside := filepath.Join(dir, random+".png")
	if err := os.WriteFile(outside, png.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	for is, name := range badNames {
		if _, err := s.Open(t.Context(), name); !errors.Is(err, imagestore.ErrNotFound) {
			t.Errorf("%s: Open(%q) = %v", is, name, err)
		}
		if err := s.Put(t.Context(), name, "job_1", png); err == nil {
			t.Errorf("%s: Put(%q) succeeded", is, name)
		}
	}
	if err := s.Put(t.Context(), imagestore.NewName(picture.JPEG), "job_1", png); err == nil {
		t.Error("a PNG picture was put under the name of a JPEG picture")
	}
	// A name that came into Redis some other way is forgotten, not deleted.
	due := []string{"../" + random + ".png job_1", random, random + ".png"}
	for _, member := range due {
		if err := s.client.ZAdd(t.Context(), dueKey, z(0, member)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	sweep(t, s.Store)
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	if n := keys(t, s.client); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

func TestMissingPicture(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s fixture) {
		if has(t, s.Store, imagestore.NewName(picture.PNG)) {
			t.Error("opened a picture that was never put")
		}
	})
}

func TestRestart(t *testing.T) {
	t.Parallel()
	redisURL, storeURL := redistest.Mini(t), fileURL(t.TempDir())
	name := put(t, newFixture(t, redisURL, storeURL).Store, "job_1")
	again := newFixture(t, redisURL, storeURL)
	if !has(t, again.Store, name) {
		t.Error("a picture is lost after a restart")
	}
	sweep(t, again.Store)
	if has(t, again.Store, name) {
		t.Error("a picture that was due outlives a restart")
	}
}
