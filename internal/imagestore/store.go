package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// noteTimeout is how long Redis may take: whoever uploads is told of an outage within two seconds.
const noteTimeout = 1500 * time.Millisecond

// putTimeout is the longest that writing one picture may take.
const putTimeout = time.Minute

// ErrNotFound says that there is no such picture (any more).
var ErrNotFound = errors.New("picture not found")

// Keeper tells how long the pictures of a job are kept.
type Keeper interface {
	// KeptUntil returns when the job's record expires, and a time in the future of its choosing while the job is not
	// finished. ok is false where there is no such job (any more).
	KeptUntil(ctx context.Context, jobID string) (until time.Time, ok bool, err error)
}

// Config is what [Open] needs; every field but AllowMemory has to be set.
type Config struct {
	// URL names the bucket: file:///absolute/directory, which is made if it is missing, or mem://.
	URL    string
	Redis  redis.UniversalClient // closed by the caller
	Keeper Keeper
	// Retention is how long a finished job is kept; a picture is looked at first when it is that old.
	Retention time.Duration
	Log       *slog.Logger
	// AllowMemory allows mem://, which other processes cannot see.
	AllowMemory bool
}

// Store keeps pictures. Its methods may be called side by side.
type Store struct {
	bucket    *blob.Bucket
	redis     redis.UniversalClient
	keeper    Keeper
	retention time.Duration
	log       *slog.Logger
}

// Open opens the bucket. Its errors are for the operator, and never hold credentials of the URL.
func Open(_ context.Context, c Config) (*Store, error) {
	bucket, err := openBucket(c.URL, c.AllowMemory)
	if err != nil {
		return nil, fmt.Errorf("open the image store: %w", err)
	}
	return &Store{bucket: bucket, redis: c.Redis, keeper: c.Keeper, retention: c.Retention, log: c.Log}, nil
}

// Close closes the bucket. Files that are open stay readable.
func (s *Store) Close() error {
	if err := s.bucket.Close(); err != nil {
		return fmt.Errorf("close the image store: %w", err)
	}
	return nil
}

// Put keeps p as a picture of the job, under a name of p's format. It may be repeated with the same picture; another
// picture needs another name.
func (s *Store) Put(ctx context.Context, name, jobID string, p picture.Picture) error {
	if f, ok := formatOf(name); !ok || f != p.Format {
		return fmt.Errorf("keep picture %q of job %s: the name is not one of a %s picture", name, jobID, p.Format)
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	noting, stop := context.WithTimeout(ctx, noteTimeout)
	defer stop()
	if err := s.note(noting, entry{name: name, job: jobID}, time.Now().Add(s.retention)); err != nil {
		return fmt.Errorf("note picture %s of job %s: %w", name, jobID, err)
	}
	if err := s.write(ctx, name, p); err != nil {
		return fmt.Errorf("write picture %s of job %s: %w", name, jobID, err)
	}
	return nil
}

func (s *Store) write(ctx context.Context, name string, p picture.Picture) error {
	ctx, cancel := context.WithCancel(ctx)
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

// File is an open picture. ETag is a strong one, quoted as HTTP wants it: a name never gets another picture.
type File struct {
	io.ReadSeekCloser

	Size            int64
	ModTime         time.Time
	MediaType, ETag string
}

// Open opens a picture; the caller closes it, and reads it before ctx ends. The error is [ErrNotFound] where there is none
// of that name.
func (s *Store) Open(ctx context.Context, name string) (*File, error) {
	format, ok := formatOf(name)
	if !ok {
		return nil, ErrNotFound
	}
	r, err := s.bucket.NewReader(ctx, name, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open picture %s: %w", name, err)
	}
	random, _, _ := strings.Cut(name, ".")
	return &File{
		ReadSeekCloser: r, Size: r.Size(), ModTime: r.ModTime(),
		MediaType: format.MediaType(), ETag: strconv.Quote(random),
	}, nil
}
