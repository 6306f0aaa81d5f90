package imagestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"gocloud.dev/blob"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

const (
	// noteTimeout is how long Redis may take: whoever uploads is told of an outage within two seconds.
	noteTimeout = 1500 * time.Millisecond
	// patientTimeout is the same where nobody waits for an answer.
	patientTimeout = 15 * time.Second
	// putTimeout is the longest that writing one picture may take, all tries together.
	putTimeout = time.Minute
)

// ErrNotFound says that there is no such picture (any more).
var ErrNotFound = errors.New("picture not found")

// Keeper tells how long the pictures of a job are kept.
type Keeper interface {
	// KeptUntil returns when the job's record expires, and a time in the future of its choosing while the job is not
	// finished. ok is false where there is no such job (any more).
	KeptUntil(ctx context.Context, jobID string) (until time.Time, ok bool, err error)
}

// Place is where a picture is kept.
type Place string

// The places of a picture.
const (
	InBucket Place = "bucket"
	InRedis  Place = "redis"
	// Fallback is Redis in place of a bucket that would not take the picture.
	Fallback Place = "fallback"
)

// Places lists all places.
func Places() []Place { return []Place{InBucket, InRedis, Fallback} }

// Metrics counts what a store does. Its method is safe for concurrent use and does not block.
type Metrics interface {
	// PictureStored counts a picture that was kept in one of [Places].
	PictureStored(place string)
}

// Config is what [Open] needs; URL, Metrics and Memory may be left out.
type Config struct {
	// URL names the bucket: file:///absolute/directory, which is made if it is missing, s3://bucket or gs://bucket with the
	// parameters of the Go CDK, or mem://. Empty: pictures are kept in Redis.
	URL    string
	Redis  redis.UniversalClient // closed by the caller
	Keeper Keeper
	// Retention is how long a finished job is kept; a picture is looked at first when it is that old.
	Retention time.Duration
	Log       *slog.Logger
	Metrics   Metrics // nil: none
	// Memory is what mem:// stands for; nil: it is refused, as other processes cannot see it.
	Memory *Memory
}

// Store keeps pictures. Its methods may be called side by side.
type Store struct {
	bucket    *blob.Bucket // nil: pictures are kept in Redis
	shared    bool         // the bucket is closed by somebody else
	redis     redis.UniversalClient
	keeper    Keeper
	retention time.Duration
	log       *slog.Logger
	metrics   Metrics
}

// Open opens the bucket, and tries whether it can be written to. Its errors are for the operator: one line, which never
// holds credentials of the URL.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{redis: c.Redis, keeper: c.Keeper, retention: c.Retention, log: c.Log, metrics: c.Metrics}
	if c.URL == "" {
		return s, nil
	}
	var err error
	if s.bucket, err = openBucket(ctx, c.URL, c.Memory); err != nil {
		return nil, fmt.Errorf("open the image store: %w", err)
	}
	s.shared = c.Memory != nil && s.bucket == c.Memory.bucket
	return s, nil
}

// HasBucket reports whether there is a bucket; else pictures are kept in Redis.
func (s *Store) HasBucket() bool { return s.bucket != nil }

// Close closes the bucket. Files that are open stay readable.
func (s *Store) Close() error {
	if s.bucket == nil || s.shared {
		return nil
	}
	if err := s.bucket.Close(); err != nil {
		return fmt.Errorf("close the image store: %w", err)
	}
	return nil
}

// Put keeps p as a picture of the job, under a name of p's format. It may be repeated with the same picture; another
// picture needs another name. What a bucket does not take is kept in Redis, so an error means that Redis failed, too, or
// that ctx ended.
func (s *Store) Put(ctx context.Context, name, jobID string, p picture.Picture) error {
	return s.put(ctx, name, jobID, p, noteTimeout)
}

func (s *Store) put(ctx context.Context, name, jobID string, p picture.Picture, redisTimeout time.Duration) error {
	if f, ok := formatOf(name); !ok || f != p.Format {
		return fmt.Errorf("keep picture %q of job %s: the name is not one of a %s picture", name, jobID, p.Format)
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	due := time.Now().Add(s.retention)
	if err := s.note(ctx, entry{name: name, job: jobID}, due, redisTimeout); err != nil {
		return err
	}
	place, err := s.place(ctx, name, jobID, p, due)
	if err != nil {
		return err
	}
	if s.metrics != nil {
		s.metrics.PictureStored(string(place))
	}
	if time.Now().Before(due) {
		return nil
	}
	// A sweep that did not find the picture yet may have forgotten it.
	return s.note(ctx, entry{name: name, job: jobID}, time.Now().Add(s.retention), redisTimeout)
}

// place writes the picture into the bucket, or else into Redis.
func (s *Store) place(ctx context.Context, name, jobID string, p picture.Picture, due time.Time) (Place, error) {
	place := InRedis
	if s.bucket != nil {
		err := s.write(ctx, name, p)
		if err == nil {
			return InBucket, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("write picture %s of job %s: %w", name, jobID, err)
		}
		s.log.WarnContext(ctx, "the bucket does not take a picture, so redis keeps it", slog.String("job_id", jobID), slog.Any("error", err))
		place = Fallback
	}
	if err := s.keep(ctx, name, p, due); err != nil {
		return "", fmt.Errorf("keep picture %s of job %s in redis: %w", name, jobID, err)
	}
	return place, nil
}
