package imagestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"gocloud.dev/gcerrors"
)

const (
	sweepInterval = 5 * time.Second
	// sweepTimeout ends a sweep that got stuck, so that the next one begins anew.
	sweepTimeout = time.Minute
	sweepChunk   = 100
	// minWait is the least time until a kept picture is looked at again.
	minWait = time.Second
	// deleteAgain is when the pictures of a deleted job are deleted once more: one that was being written meanwhile is
	// there by then.
	deleteAgain = 2 * putTimeout
	// deletesAtOnce lets a bucket that is far away keep up with what falls due.
	deletesAtOnce = 16
)

// Delete deletes all pictures of a job. One that is being written meanwhile is deleted within minutes, unless the
// [Keeper] still has the job.
func (s *Store) Delete(ctx context.Context, jobID string) error {
	names, err := s.redis.SMembers(ctx, jobKey(jobID)).Result()
	if err != nil {
		return fmt.Errorf("list the pictures of job %s: %w", jobID, err)
	}
	// The entries stay until the sweep that follows: what fails here, or is still being written, is deleted then.
	again := time.Now().Add(deleteAgain)
	verdicts := make([]verdict, 0, len(names))
	for _, name := range names {
		e := entry{name: name, job: jobID}
		verdicts = append(verdicts, verdict{member: e.member(), entry: e, until: again})
	}
	if err := s.apply(ctx, verdicts); err != nil {
		return fmt.Errorf("note the deletion of job %s's pictures: %w", jobID, err)
	}
	if err := errors.Join(s.remove(ctx, names)...); err != nil {
		return fmt.Errorf("delete the pictures of job %s: %w", jobID, err)
	}
	return nil
}

// discard deletes one picture of a job. Where that fails it goes with the job.
func (s *Store) discard(ctx context.Context, jobID, name string) error {
	if err := s.removeOne(ctx, name); err != nil {
		return fmt.Errorf("delete picture %s of job %s: %w", name, jobID, err)
	}
	e := entry{name: name, job: jobID}
	if err := s.apply(ctx, []verdict{{member: e.member(), entry: e}}); err != nil {
		return fmt.Errorf("forget picture %s of job %s: %w", name, jobID, err)
	}
	return nil
}

// remove deletes pictures, and returns an error or nil for each. One that is not there is as good as deleted.
func (s *Store) remove(ctx context.Context, names []string) []error {
	errs := make([]error, len(names))
	places := make(chan struct{}, deletesAtOnce)
	var deleting sync.WaitGroup
	for i, name := range names {
		places <- struct{}{}
		deleting.Go(func() {
			defer func() { <-places }()
			if err := s.removeOne(ctx, name); err != nil {
				errs[i] = fmt.Errorf("delete picture %s: %w", name, err)
			}
		})
	}
	deleting.Wait()
	return errs
}

func (s *Store) removeOne(ctx context.Context, name string) error {
	if s.bucket != nil {
		if err := s.bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return err //nolint:wrapcheck // the caller says what was attempted
		}
	}
	return s.redis.Unlink(ctx, blobKey(name)).Err() //nolint:wrapcheck // the caller says what was attempted
}

// Run deletes what is due, every few seconds until ctx ends. It returns nil then.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "delete pictures that are due", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep looks at every entry that is due. What could not be decided or deleted stays due, and is counted in the error.
func (s *Store) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	now := time.Now()
	stuck := 0
	var first error
	for {
		// Those that are stuck come first, and must not keep the sweep from those behind them.
		page, err := s.redis.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: dueKey, ByScore: true, Start: "-inf", Stop: strconv.FormatInt(now.UnixMilli(), 10),
			Offset: int64(stuck), Count: sweepChunk,
		}).Result()
		if err != nil {
			return errors.Join(fmt.Errorf("list the pictures that are due: %w", err), first)
		}
		verdicts, err := s.judge(ctx, page)
		if err != nil && first == nil {
			first = err
		}
		if err := s.apply(ctx, verdicts); err != nil {
			return errors.Join(fmt.Errorf("note what became of %d pictures: %w", len(verdicts), err), first)
		}
		stuck += len(page) - len(verdicts)
		if len(page) < sweepChunk {
			break
		}
	}
	if stuck > 0 {
		return fmt.Errorf("%d pictures stay due: %w", stuck, first)
	}
	return nil
}

// judge deletes the pictures whose job is gone. It returns no verdict on those that are stuck, but the first error.
func (s *Store) judge(ctx context.Context, members []string) (verdicts []verdict, first error) {
	kept := map[string]answer{}
	var gone []verdict
	var names []string
	for _, member := range members {
		v, err := s.judgeOne(ctx, member, kept)
		switch {
		case err != nil && first == nil:
			first = err
		case err != nil:
		case v.until.IsZero() && v.entry.name != "":
			gone, names = append(gone, v), append(names, v.entry.name)
		default:
			verdicts = append(verdicts, v)
		}
	}
	for i, err := range s.remove(ctx, names) {
		if err == nil {
			verdicts = append(verdicts, gone[i])
		}
		if first == nil {
			first = err
		}
	}
	return verdicts, first
}

// answer is what the keeper said of a job.
type answer struct {
	until time.Time
	ok    bool
	err   error
}

func (s *Store) judgeOne(ctx context.Context, member string, kept map[string]answer) (verdict, error) {
	e, ok := parseEntry(member)
	if !ok {
		s.log.WarnContext(ctx, "not a picture's entry", slog.String("entry", strconv.Quote(member)))
		return verdict{member: member}, nil
	}
	a, asked := kept[e.job]
	if !asked {
		a.until, a.ok, a.err = s.keeper.KeptUntil(ctx, e.job)
		kept[e.job] = a
	}
	if a.err != nil {
		return verdict{}, fmt.Errorf("ask for job %s: %w", e.job, a.err)
	}
	if !a.ok {
		return verdict{member: member, entry: e}, nil
	}
	until := a.until
	if soonest := time.Now().Add(minWait); until.Before(soonest) {
		until = soonest
	}
	return verdict{member: member, entry: e, until: until}, nil
}
