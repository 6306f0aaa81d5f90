package imagestore_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// gcs is the storage that the environment points to: its client knows no other way to an address of one's own.
var gcs = &fakeGCS{objects: map[string]object{}}

func TestMain(m *testing.M) {
	server := httptest.NewServer(gcs)
	// The client leaves its connections to http.DefaultTransport, which no test may close on the others.
	server.Config.SetKeepAlivesEnabled(false)
	for name, value := range map[string]string{
		"STORAGE_EMULATOR_HOST": server.Listener.Addr().String(),
		"AWS_ACCESS_KEY_ID":     "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	redistest.Main(m, goleak.IgnoreCurrent()) // the server, which is there to the end
}

// png is a picture by its first bytes alone.
var png = picture.Picture{Format: picture.PNG, Data: []byte("\x89PNG\r\n\x1a\n0123456789")}

const dueKey = "zimage:{pictures}:due"

// keeper answers for jobs; one it does not know is gone.
type keeper struct {
	mu    sync.Mutex
	until map[string]time.Time
	err   error
	asked int
}

func (k *keeper) KeptUntil(_ context.Context, jobID string) (time.Time, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	until, ok := k.until[jobID]
	return until, ok, k.err
}

func (k *keeper) keep(jobID string, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil {
		k.until = map[string]time.Time{}
	}
	k.until[jobID] = until
}

func connect(t *testing.T, redisURL string) redis.UniversalClient {
	t.Helper()
	client, err := redisconn.New(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// fixture is a store whose pictures are due at once, with what it stands on.
type fixture struct {
	*imagestore.Store

	client redis.UniversalClient
	keeper *keeper
	places *places
	config imagestore.Config
}

// places counts where pictures were kept.
type places struct {
	mu sync.Mutex
	at map[imagestore.Place]int
}

func (p *places) PictureStored(place string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[imagestore.Place]int{}
	}
	p.at[imagestore.Place(place)]++
}

func (p *places) counts() map[imagestore.Place]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.at)
}

func newFixture(t *testing.T, redisURL, storeURL string) fixture {
	t.Helper()
	f := fixture{client: connect(t, redisURL), keeper: &keeper{}, places: &places{}}
	f.config = imagestore.Config{
		URL: storeURL, Redis: f.client, Keeper: f.keeper, Log: slog.New(slog.DiscardHandler), Metrics: f.places, Memory: imagestore.NewMemory(),
	}
	f.Store = open(t, f.config)
	return f
}

func open(t *testing.T, c imagestore.Config) *imagestore.Store {
	t.Helper()
	s, err := imagestore.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// onEach runs a test on every kind of bucket.
func onEach(t *testing.T, test func(t *testing.T, f fixture)) {
	t.Helper()
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, redistest.Mini(t), fileURL(filepath.Join(t.TempDir(), "new", "pictures"))))
	})
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, redistest.Mini(t), "mem://"))
	})
	t.Run("s3", func(t *testing.T) {
		t.Parallel()
		storeURL, _ := newS3(t, nil)
		test(t, newFixture(t, redistest.Mini(t), storeURL))
	})
	t.Run("gs", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, redistest.Mini(t), "gs://pictures?anonymous=true"))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, redistest.Mini(t), ""))
	})
}

// put keeps png as a picture of the job and returns its name.
func put(t *testing.T, s *imagestore.Store, jobID string) string {
	t.Helper()
	name := imagestore.NewName(png.Format)
	if err := s.Put(t.Context(), name, jobID, png); err != nil {
		t.Fatal(err)
	}
	return name
}

// has reports whether the store has the whole picture.
func has(t *testing.T, s *imagestore.Store, name string) bool {
	t.Helper()
	f, err := s.Open(t.Context(), name)
	if err != nil {
		if !errors.Is(err, imagestore.ErrNotFound) {
			t.Fatal(err)
		}
		return false
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(f)
	if err != nil || string(data) != string(png.Data) {
		t.Fatalf("read %q, %v", data, err)
	}
	return true
}

func sweep(t *testing.T, s *imagestore.Store) {
	t.Helper()
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// keys returns how many keys Redis holds, which is none where nothing is left to delete.
func keys(t *testing.T, client redis.UniversalClient) int64 {
	t.Helper()
	n, err := client.DBSize(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}
