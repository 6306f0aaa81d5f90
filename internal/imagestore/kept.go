package imagestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// blobKey is a string, the bytes of a picture that Redis keeps. The sweep deletes it; its TTL, moved together with the
// picture's entry, is a net for where no process sweeps any more.
func blobKey(name string) string { return "zimage:{pictures}:blob:" + name }

const (
	// blobSlack is how much longer a blob lives than its entry says: processes that sweep may be away as long.
	blobSlack = time.Hour
	// blobTimeout is how long Redis may take to take or to hand out 32 MiB.
	blobTimeout = 15 * time.Second
)

// keep writes the picture into Redis. Without a sweep it is gone blobSlack after due.
func (s *Store) keep(ctx context.Context, name string, p picture.Picture, due time.Time) error {
	if len(p.Data) > picture.MaxBytes {
		return fmt.Errorf("%d bytes are more than %d", len(p.Data), picture.MaxBytes)
	}
	ctx, cancel := context.WithTimeout(ctx, blobTimeout)
	defer cancel()
	return s.redis.Set(ctx, blobKey(name), p.Data, time.Until(due)+blobSlack).Err() //nolint:wrapcheck // Put says what was attempted
}

// kept reads a picture out of Redis; [ErrNotFound] where it has none of that name.
func (s *Store) kept(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, blobTimeout)
	defer cancel()
	data, err := s.redis.Get(ctx, blobKey(name)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read it from redis: %w", err)
	}
	return data, nil
}

// outlive moves the TTL of a picture that may be in Redis to after its entry's time.
func outlive(ctx context.Context, p redis.Pipeliner, name string, due time.Time) {
	p.PExpireAt(ctx, blobKey(name), due.Add(blobSlack))
}
