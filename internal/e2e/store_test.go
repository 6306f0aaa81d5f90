package e2e_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// stored is a gateway that copies pictures into a directory.
func stored(t *testing.T, up *backend, dir string, env ...string) *gateway {
	t.Helper()
	env = append(env, "IMAGE_STORE_URL=file://"+dir, "ALLOW_PRIVATE_ADDRESSES=true")
	s := configured(t, "models:\n  - {id: Z-Image, model_index: 5}\nupstreams:\n"+up.entry("exacg", ""), env...)
	s.apiEnv = append(s.apiEnv, env...)
	return newGateway(t, s)
}

// files counts the files in a directory.
func files(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A picture that cannot be fetched at first is fetched later, by another worker if need be, and bought once.
func TestAFailedCopyBuysNothing(t *testing.T) {
	t.Parallel()
	up, dir := newBackend(t, simupstream.Config{}), t.TempDir()
	g := stored(t, up, dir)
	up.noImages.Store(true)
	c := g.as(clientKey)
	id := c.order(jobOrder("a cat")).ID
	waitUntil(t, "a copy has failed", patience, func() bool { return g.redis().HGet(t.Context(), "zimage:job:{"+id+"}", "y0").Val() != "" })
	if j := c.look(id); j.Status != "in_progress" || len(j.Calls) != 1 || j.Calls[0].Outcome != "ok" || j.Calls[0].Billed != "yes" {
		t.Fatalf("while the copy fails the job is %+v", j)
	}
	g.worker.kill()
	up.noImages.Store(false)
	g.startWorker()
	c.wantCompleted([]string{id}, 2*time.Minute)
	j := c.look(id)
	if up.Calls() != 1 || len(j.Calls) != 1 {
		t.Errorf("%d calls, the ledger has %d, want 1", up.Calls(), len(j.Calls))
	}
	if r := g.fetch(http.MethodGet, j.Result.Data[0].URL); r.status != http.StatusOK || files(t, dir) != 1 {
		t.Errorf("the picture at %s: %d, %d files", j.Result.Data[0].URL, r.status, files(t, dir))
	}
}

// A stored picture is served as caches and players like it, and goes with its job.
func TestStoredPictures(t *testing.T) {
	t.Parallel()
	up, dir := newBackend(t, simupstream.Config{}), t.TempDir()
	g := stored(t, up, dir, "JOB_RETENTION=30s")
	c := g.as(clientKey)
	link := c.images(map[string]any{"prompt": "a cat", "size": "64x64"}).Data[0].URL
	up.dead.Store(true) // nothing below is the upstream's
	up.noImages.Store(true)
	whole := g.fetch(http.MethodGet, link)
	for name, want := range map[string]string{
		"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=86400, immutable", "Accept-Ranges": "bytes",
	} {
		if got := whole.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	wantSize(t, whole.body, "png", 64, 64)
	if r := g.fetch(http.MethodGet, link, "If-None-Match", whole.header.Get("Etag")); r.status != http.StatusNotModified {
		t.Errorf("with its own ETag: %d", r.status)
	}
	if r := g.fetch(http.MethodGet, link, "Range", "bytes=1-3"); r.status != http.StatusPartialContent || string(r.body) != "PNG" {
		t.Errorf("three bytes: %d %q", r.status, r.body)
	}
	if r := g.fetch(http.MethodHead, link); r.status != http.StatusOK || len(r.body) != 0 {
		t.Errorf("HEAD: %d and %d bytes", r.status, len(r.body))
	}
	job := c.list("limit=1").Data[0]
	if r := c.do(http.MethodDelete, "/v1/jobs/"+job.ID, nil); r.status != http.StatusNoContent {
		t.Fatalf("delete: %d %s", r.status, r.body)
	}
	if r := g.fetch(http.MethodGet, link); r.status != http.StatusNotFound || files(t, dir) != 0 {
		t.Errorf("after its job was deleted: %d, %d files", r.status, files(t, dir))
	}
}

// The pictures of a job go when it expires, at most twenty seconds late, from the bucket and from Redis.
func TestPicturesExpireWithTheirJob(t *testing.T) {
	t.Parallel()
	const retention = 2 * time.Second
	for name, env := range map[string]string{"bucket": "IMAGE_STORE_URL=file://" + t.TempDir(), "redis": "LOG_LEVEL=info"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := newBackend(t, simupstream.Config{})
			s := configured(t, "models:\n  - {id: SD}\nupstreams:\n"+up.entryOf("sdwebui", "local", ""), env, "JOB_RETENTION="+retention.String())
			s.apiEnv = append(s.apiEnv, env, "JOB_RETENTION="+retention.String())
			g := newGateway(t, s)
			link := g.as(clientKey).images(map[string]any{"prompt": "a cat", "size": "64x64"}).Data[0].URL
			if r := g.fetch(http.MethodGet, link); r.status != http.StatusOK {
				t.Fatalf("at first: %d", r.status)
			}
			waitUntil(t, "the picture is gone", retention+20*time.Second, func() bool { return g.fetch(http.MethodGet, link).status == http.StatusNotFound })
		})
	}
}
