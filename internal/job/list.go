package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoCursor says that the job after which a list was to go on is not in the list (any more).
var ErrNoCursor = errors.New("no such job in the list")

const (
	// listChunk is how many records one round trip of a filtered list looks at. Others wait for it.
	listChunk = 100
	// listTimeout bounds a whole list: with a filter it may have to look at many jobs.
	listTimeout = 10 * time.Second
	// unlistAge is how old an entry without a record must be to be taken off: its record may just be on its way.
	unlistAge = time.Minute
)

// ListQuery says which of a key's jobs are wanted.
type ListQuery struct {
	Limit  int
	After  ID     // go on after this one; empty: from the newest
	Status Status // only jobs of this state; empty: all
}

// List returns a key's jobs, newest first, and whether there are more. It takes entries off whose record is gone.
func (s *Store) List(ctx context.Context, owner string, q ListQuery) (jobs []Job, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var start int64
	if q.After != "" {
		var rank int64
		err := answered(ctx, func(ctx context.Context) (err error) {
			rank, err = s.client.ZRevRank(ctx, ownerKey(owner), string(q.After)).Result()
			return err //nolint:wrapcheck // wrapped below
		})
		if errors.Is(err, redis.Nil) {
			return nil, false, ErrNoCursor
		}
		if err != nil {
			return nil, false, fmt.Errorf("find the place in a list of jobs: %w", err)
		}
		start = rank + 1
	}
	// Without a filter nearly every entry is one of the list.
	chunk := int64(q.Limit) + 1
	if q.Status != "" {
		chunk = max(chunk, listChunk)
	}
	seen := map[ID]bool{} // jobs made meanwhile move the others down, into the next page
	for {
		began := time.Now()
		var page []redis.Z
		err := answered(ctx, func(ctx context.Context) (err error) {
			page, err = s.client.ZRevRangeWithScores(ctx, ownerKey(owner), start, start+chunk-1).Result()
			return err //nolint:wrapcheck // wrapped below
		})
		if err != nil {
			return nil, false, fmt.Errorf("list jobs: %w", err)
		}
		last := int64(len(page)) < chunk
		page = slices.DeleteFunc(page, func(z redis.Z) bool { return seen[memberID(z)] })
		found, gone, err := s.listed(ctx, page, q.Status, q.Limit+1-len(jobs))
		if err != nil {
			return nil, false, err
		}
		for _, j := range found {
			seen[j.ID] = true
		}
		jobs = append(jobs, found...)
		if len(jobs) > q.Limit {
			return jobs[:q.Limit], true, nil
		}
		if last {
			return jobs, false, nil
		}
		start += chunk
		if len(gone) > 0 {
			s.settle(ctx, func(pipe redis.Pipeliner) { pipe.ZRem(ctx, ownerKey(owner), gone...) })
			start -= int64(len(gone))
		}
		if q.Status != "" {
			if err := rest(ctx, began); err != nil {
				return nil, false, fmt.Errorf("look through a list of jobs: %w", err)
			}
		}
	}
}

// answered bounds one round trip: whether Redis is there is told within two seconds, however long a list may take.
func answered(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	return ask(ctx)
}

// listed reads the jobs of a page's entries, at most so many. gone are those whose record is not there.
func (s *Store) listed(ctx context.Context, page []redis.Z, want Status, most int) (jobs []Job, gone []any, err error) {
	old := float64(time.Now().Add(s.clockSkew() - unlistAge).UnixMilli())
	if want != "" {
		if page, gone, err = s.withStatus(ctx, page, want, old); err != nil {
			return nil, nil, err
		}
	}
	for len(page) > 0 && len(jobs) < most {
		some := page[:min(most-len(jobs), len(page))]
		page = page[len(some):]
		records, err := s.records(ctx, some)
		if err != nil {
			return nil, nil, err
		}
		for i, z := range some {
			j, err := s.readable(memberID(z), records[i].Val(), nil)
			switch {
			case err == nil && (want == "" || j.Status == want): // it may have changed since it was looked at
				jobs = append(jobs, j)
			case err == nil:
			case !errors.Is(err, ErrNotFound):
				return nil, nil, err
			case len(records[i].Val()) == 0 && z.Score < old:
				gone = append(gone, z.Member)
			}
		}
	}
	return jobs, gone, nil
}

// records reads those of some entries.
func (s *Store) records(ctx context.Context, entries []redis.Z) ([]*redis.MapStringStringCmd, error) {
	pipe := s.client.Pipeline()
	records := make([]*redis.MapStringStringCmd, len(entries))
	for i, z := range entries {
		records[i] = pipe.HGetAll(ctx, recordKey(memberID(z)))
	}
	err := answered(ctx, func(ctx context.Context) error {
		_, err := pipe.Exec(ctx)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, fmt.Errorf("read %d jobs of a list: %w", len(entries), err)
	}
	return records, nil
}

// withStatus returns the entries whose job has the status, without reading the rest of them.
func (s *Store) withStatus(ctx context.Context, page []redis.Z, want Status, old float64) (fit []redis.Z, gone []any, err error) {
	ids := make([]ID, len(page))
	for i, z := range page {
		ids[i] = memberID(z)
	}
	var statuses []Status
	if err := answered(ctx, func(ctx context.Context) (err error) {
		statuses, err = s.statuses(ctx, ids)
		return err
	}); err != nil {
		return nil, nil, err
	}
	for i, z := range page {
		switch {
		case statuses[i] == want:
			fit = append(fit, z)
		case statuses[i] == "" && z.Score < old:
			gone = append(gone, z.Member)
		}
	}
	return fit, gone, nil
}

func memberID(z redis.Z) ID {
	id, _ := z.Member.(string)
	return ID(id)
}
