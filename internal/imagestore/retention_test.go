package imagestore_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// TestDrawnPicturesGoWithTheirJob has a worker keep a picture of a job that ends, and the sweeps of another process, with
// the shortest retention there is: the picture outlives the job's record by 20 s at most.
func TestDrawnPicturesGoWithTheirJob(t *testing.T) {
	t.Parallel()
	for kind, url := range map[string]string{"redis": "", "bucket": fileURL(t.TempDir())} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const retention, firstLook = time.Second, 10 * time.Second
			client := connect(t, redistest.URL(t))
			jobs := job.NewStore(client, retention)
			config := imagestore.Config{
				URL: url, Redis: client, Keeper: jobs, Retention: max(retention, firstLook), Log: slog.New(slog.DiscardHandler),
			}
			id := job.NewID()
			_, err := jobs.Create(t.Context(), id, job.New{
				Owner: "owner", Class: job.ClassInteractive, Spec: imagegen.Spec{Model: "Z-Image", Seeds: []uint32{1}},
			}, []string{"exacg-express"}, "")
			if err != nil {
				t.Fatal(err)
			}
			worker := imagestore.NewCopier(open(t, config), nil, config.Log)
			kept, err := worker.Copy(t.Context(), string(id), "", imagegen.Drawing{Data: png.Data}, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jobs.Cancel(t.Context(), id, nil, true); err != nil {
				t.Fatal(err)
			}
			expires := time.Now().Add(retention)
			if after := outlives(t, open(t, config), kept.Name, expires); after > 20*time.Second {
				t.Errorf("the picture outlives its job by %v", after)
			}
		})
	}
}

// outlives runs the store's sweeps and returns by how much the picture outlives the moment.
func outlives(t *testing.T, s *imagestore.Store, name string, moment time.Time) time.Duration {
	t.Helper()
	if !has(t, s, name) {
		t.Fatal("the picture is gone before its job")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var sweeps errgroup.Group
	sweeps.Go(func() error { return s.Run(ctx) })
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for ctx.Err() == nil {
		f, err := s.Open(ctx, name)
		if errors.Is(err, imagestore.ErrNotFound) {
			break
		}
		if err == nil {
			_ = f.Close()
		}
		<-look.C
	}
	took := time.Since(moment)
	cancel()
	if err := sweeps.Wait(); err != nil {
		t.Fatal(err)
	}
	return took
}
