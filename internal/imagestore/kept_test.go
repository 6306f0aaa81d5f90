package imagestore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func blobKey(name string) string { return "zimage:{pictures}:blob:" + name }

// broken puts a file where the bucket's directory was: nothing can be written, nor read.
func broken(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBucketThatFails(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, redisURL string) {
		dir := filepath.Join(t.TempDir(), "pictures")
		s := newFixture(t, redisURL, fileURL(dir))
		before := put(t, s.Store, "job_1")
		broken(t, dir)
		meanwhile := put(t, s.Store, "job_1")
		if diff := cmp.Diff(s.places.counts(), map[imagestore.Place]int{imagestore.InBucket: 1, imagestore.Fallback: 1}); diff != "" {
			t.Errorf("places (-got +want):\n%s", diff)
		}
		if !has(t, s.Store, meanwhile) {
			t.Error("a picture that was put while the bucket failed cannot be read while it does")
		}
		if _, err := s.Open(t.Context(), before); err == nil || errors.Is(err, imagestore.ErrNotFound) {
			t.Errorf("a picture of a bucket that fails: %v, want an error that is not ErrNotFound", err)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if !has(t, s.Store, meanwhile) {
			t.Error("a picture that was put while the bucket failed cannot be read afterwards")
		}
		sweep(t, s.Store)
		if has(t, s.Store, meanwhile) || keys(t, s.client) != 0 {
			t.Error("the sweep left something in redis")
		}
	})
}

func TestRedisIsGone(t *testing.T) {
	t.Parallel()
	for kind, url := range map[string]string{"redis": "", "bucket": "mem://"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, redistest.Mini(t), url)
			name := put(t, s.Store, "job_1")
			if err := s.client.Close(); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(t.Context(), imagestore.NewName(png.Format), "job_1", png); err == nil {
				t.Error("Put succeeded")
			}
			if url != "" {
				if !has(t, s.Store, name) {
					t.Error("a picture of the bucket cannot be read")
				}
				name = imagestore.NewName(png.Format)
			}
			if _, err := s.Open(t.Context(), name); err == nil || errors.Is(err, imagestore.ErrNotFound) {
				t.Errorf("Open = %v, want an error that is not ErrNotFound", err)
			}
		})
	}
}

// TestBlobsExpire shows the net below the sweep: the TTL follows the entry.
func TestBlobsExpire(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, redisURL string) {
		s := newFixture(t, redisURL, "")
		name := put(t, s.Store, "job_1")
		if diff := cmp.Diff(s.places.counts(), map[imagestore.Place]int{imagestore.InRedis: 1}); diff != "" {
			t.Errorf("places (-got +want):\n%s", diff)
		}
		wantTTL := func(due time.Time) {
			t.Helper()
			ttl := s.client.PTTL(t.Context(), blobKey(name)).Val()
			if more := ttl - time.Until(due); more < 59*time.Minute || more > 61*time.Minute {
				t.Errorf("the blob lives %v, which is %v more than its entry", ttl, more)
			}
		}
		wantTTL(time.Now())
		tomorrow := time.Now().Add(24 * time.Hour)
		s.keeper.keep("job_1", tomorrow)
		sweep(t, s.Store)
		wantTTL(tomorrow)
		if err := s.Delete(t.Context(), "job_1"); err != nil {
			t.Fatal(err)
		}
		if n := s.client.Exists(t.Context(), blobKey(name)).Val(); n != 0 {
			t.Error("the blob outlives its deletion")
		}
	})
}

func TestWorkersPictureIsSweptByAnother(t *testing.T) {
	t.Parallel()
	for kind, url := range map[string]string{"redis": "", "bucket": fileURL(t.TempDir())} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			redisURL := redistest.Mini(t)
			worker, api := newFixture(t, redisURL, url), newFixture(t, redisURL, url)
			name := put(t, worker.Store, "job_1")
			if !has(t, api.Store, name) {
				t.Fatal("another process does not find the picture")
			}
			sweep(t, api.Store)
			if has(t, worker.Store, name) || keys(t, worker.client) != 0 {
				t.Error("a picture whose job is gone is still there")
			}
		})
	}
}

func TestTooLargeForRedis(t *testing.T) {
	t.Parallel()
	s := newFixture(t, redistest.Mini(t), "")
	large := picture.Picture{Format: picture.PNG, Data: make([]byte, picture.MaxBytes+1)}
	if err := s.Put(t.Context(), imagestore.NewName(picture.PNG), "job_1", large); err == nil {
		t.Error("a picture of more than 32 MiB is kept")
	}
}
