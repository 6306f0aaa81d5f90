package imagestore

import (
	"context"
	"time"

	"gocloud.dev/blob"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

const (
	writeTries = 3
	// writeTimeout is how long a bucket may take for one try. All tries leave enough of putTimeout for Redis.
	writeTimeout = 12 * time.Second
	firstPause   = 250 * time.Millisecond // between tries; quadruples
)

// write puts a picture into the bucket, with a few tries.
func (s *Store) write(ctx context.Context, name string, p picture.Picture) error {
	for try, pause := 1, firstPause; ; try, pause = try+1, 4*pause {
		err := s.writeOnce(ctx, name, p)
		if err == nil || try == writeTries || !rest(ctx, pause) {
			return err
		}
	}
}

// rest waits; false where ctx ends before.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Store) writeOnce(ctx context.Context, name string, p picture.Picture) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	w, err := s.bucket.NewWriter(ctx, name, &blob.WriterOptions{
		ContentType: p.Format.MediaType(), BeforeWrite: closeToOthers,
	})
	if err != nil {
		return err //nolint:wrapcheck // Put says what was attempted
	}
	if _, err := w.Write(p.Data); err != nil {
		cancel() // or Close would keep the part that was written
		_ = w.Close()
		return err //nolint:wrapcheck // Put says what was attempted
	}
	return w.Close() //nolint:wrapcheck // Put says what was attempted
}
