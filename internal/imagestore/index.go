package imagestore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The braces make all keys live in one slot of a Redis Cluster, so that one transaction can change several.

// dueKey is a sorted set without TTL: an entry for every picture, "<name> <job id>", by when to look at it (unix ms).
const dueKey = "zimage:{pictures}:due"

// jobKey is a set without TTL: the names of the job's pictures. It changes together with dueKey, so it goes with the last
// of the job's entries.
func jobKey(jobID string) string { return "zimage:{pictures}:job:" + jobID }

// entry is a picture that Redis knows of.
type entry struct{ name, job string }

func (e entry) member() string { return e.name + " " + e.job }

func parseEntry(member string) (e entry, ok bool) {
	name, job, ok := strings.Cut(member, " ")
	return entry{name: name, job: job}, ok && ValidName(name)
}

// note notes a picture, unless it is already.
func (s *Store) note(ctx context.Context, e entry, due time.Time, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := s.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAddNX(ctx, dueKey, redis.Z{Score: score(due), Member: e.member()})
		p.SAdd(ctx, jobKey(e.job), e.name)
		return nil
	})
	if err != nil {
		return fmt.Errorf("note picture %s of job %s: %w", e.name, e.job, err)
	}
	return nil
}

// verdict is what becomes of an entry that was due.
type verdict struct {
	member string
	entry  entry     // zero where the member is not one of ours
	until  time.Time // zero: forget it
}

// apply moves and removes entries; one that another process removed meanwhile stays removed.
func (s *Store) apply(ctx context.Context, verdicts []verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	_, err := s.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, v := range verdicts {
			if !v.until.IsZero() {
				p.ZAddXX(ctx, dueKey, redis.Z{Score: score(v.until), Member: v.member})
				outlive(ctx, p, v.entry.name, v.until)
				continue
			}
			p.ZRem(ctx, dueKey, v.member)
			if v.entry.name != "" {
				p.SRem(ctx, jobKey(v.entry.job), v.entry.name)
			}
		}
		return nil
	})
	return err //nolint:wrapcheck // the caller says what was attempted
}

func score(t time.Time) float64 { return float64(t.UnixMilli()) }
