package job

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// waiting returns the tasks of the listed jobs that some worker should get: of pictures that are neither final nor being
// drawn, and of webhooks that are due. Jobs for which nothing is left to do are taken off the list.
func (s *Store) waiting(ctx context.Context, ids []ID, now int64) (tasks []Task, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	records, err := s.skim(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read %d unfinished jobs: %w", len(ids), err)
	}
	forget := s.client.Pipeline()
	for i, id := range ids {
		r := records[i]
		status, owner, due := Status(r.fields["status"]), r.fields["owner"], r.fields["hook"] == "due"
		switch {
		case status == "":
			forget.ZRem(ctx, openKey, string(id))
		case status.Terminal():
			for p := range r.pictures() { // whoever ended it may not have come to that
				waitsNoMore(ctx, forget, Task{Job: id, Image: p, Owner: owner})
			}
			s.closed(ctx, forget, owner, id, r.fields["expires"], due)
			if due {
				tasks = append(tasks, WebhookTask(id))
			}
		default:
			tasks = append(tasks, r.waitingTasks(id, owner, now)...)
		}
		if r.err != nil {
			return nil, fmt.Errorf("read job %s: %w", id, r.err)
		}
	}
	if forget.Len() == 0 {
		return tasks, nil
	}
	if _, err := forget.Exec(ctx); err != nil {
		return nil, fmt.Errorf("forget finished jobs: %w", err)
	}
	return tasks, nil
}

// skim reads what of each record tells which of its pictures wait. Most jobs are for one picture: to ask each for as many as
// it might have would be most of the work.
func (s *Store) skim(ctx context.Context, ids []ID) ([]*fieldReader, error) {
	records := make([]*fieldReader, len(ids))
	for i := range records {
		records[i] = &fieldReader{fields: make(map[string]string)}
	}
	names := make([][]string, len(ids)) // of the fields that are still to be read
	for i := range names {
		names[i] = append([]string{"status", "n", "owner", "expires", "hook"}, waitingFields(0)...)
	}
	if err := s.readFields(ctx, ids, names, records); err != nil {
		return nil, err
	}
	for i, r := range records {
		names[i] = nil
		if Status(r.fields["status"]).Terminal() {
			continue
		}
		for p := 1; p < r.pictures(); p++ {
			names[i] = append(names[i], waitingFields(p)...)
		}
	}
	return records, s.readFields(ctx, ids, names, records)
}

// readFields adds fields of jobs' records to what is known of them; a job of which none are asked for is left alone.
func (s *Store) readFields(ctx context.Context, ids []ID, names [][]string, records []*fieldReader) error {
	pipe := s.client.Pipeline()
	replies := make(map[int]*redis.SliceCmd)
	for i, id := range ids {
		if len(names[i]) > 0 {
			replies[i] = pipe.HMGet(ctx, recordKey(id), names[i]...)
		}
	}
	if len(replies) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err //nolint:wrapcheck // wrapped by the caller of skim
	}
	for i, reply := range replies {
		for f, v := range reply.Val() {
			if v, ok := v.(string); ok {
				records[i].fields[names[i][f]] = v
			}
		}
	}
	return nil
}

// waitingFields are those that tell whether a picture waits, and for what.
func waitingFields(image int) []string {
	return []string{
		pictureField("s", image), pictureField("g", image), pictureField("q", image), pictureField("u", image),
	}
}

// pictures returns how many the job has.
func (r *fieldReader) pictures() int { return max(1, int(r.int("n"))) }

func (r *fieldReader) waitingTasks(id ID, owner string, now int64) (tasks []Task) {
	for p := range r.pictures() {
		if s := r.fields[pictureField("s", p)]; (s == "" || s == "pending") && r.int(pictureField("u", p)) <= now {
			tasks = append(tasks, Task{
				Job: id, Image: p, Generation: r.int(pictureField("g", p)), Queue: r.fields[pictureField("q", p)], Owner: owner,
			})
		}
	}
	return tasks
}

// sweepWaiting takes pictures out of the sets of those that wait whose job is not open: it was never made, or has ended
// and whoever ended it did not come to it. Those younger than cutoff (unix ms) may belong to a job on its way.
func (s *Store) sweepWaiting(ctx context.Context, cutoff int64) error {
	for start := int64(0); ; start += sweepChunk {
		began := time.Now()
		page, err := s.client.ZRangeWithScores(ctx, waitingKey, start, start+sweepChunk-1).Result()
		if err != nil {
			return fmt.Errorf("list waiting pictures: %w", err)
		}
		var members []string
		for _, z := range page {
			if m, ok := z.Member.(string); ok && int64(z.Score) <= cutoff {
				members = append(members, m)
			}
		}
		stale, err := s.notOpen(ctx, members)
		if err != nil {
			return err
		}
		pipe := s.client.Pipeline()
		for _, m := range stale {
			owner, _, _ := strings.Cut(m, "/")
			pipe.ZRem(ctx, waitingKey, m)
			pipe.ZRem(ctx, waitingOfKey(owner), m)
		}
		if len(stale) > 0 {
			if _, err := pipe.Exec(ctx); err != nil {
				return fmt.Errorf("forget %d pictures that wait no more: %w", len(stale), err)
			}
		}
		start -= int64(len(stale))
		if len(page) < sweepChunk || len(members) < len(page) {
			return nil
		}
		if err := rest(ctx, began); err != nil {
			return err
		}
	}
}

// notOpen returns the members of waiting sets whose job is not listed as open.
func (s *Store) notOpen(ctx context.Context, members []string) (stale []string, err error) {
	if len(members) == 0 {
		return nil, nil
	}
	ids := make([]string, len(members))
	for i, m := range members {
		_, rest, _ := strings.Cut(m, "/")
		ids[i], _, _ = strings.Cut(rest, "/")
	}
	// ZMSCORE answers 0 for what is not there, and no job was made in 1970.
	scores, err := s.client.ZMScore(ctx, openKey, ids...).Result()
	if err != nil {
		return nil, fmt.Errorf("look for %d open jobs: %w", len(ids), err)
	}
	for i, score := range scores {
		if score == 0 {
			stale = append(stale, members[i])
		}
	}
	return stale, nil
}

// rest pauses for as long as a page of a sweep took that began then: a sweep through a long queue must not take more than
// half of what Redis, and a core, can do from those that wait for an answer.
func rest(ctx context.Context, began time.Time) error {
	timer := time.NewTimer(min(time.Since(began), restMax))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sweepEnded takes jobs whose record has expired off their owners' lists.
func (s *Store) sweepEnded(ctx context.Context, now int64) error {
	by := &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(now, 10), Count: sweepChunk}
	for {
		ended, err := s.client.ZRangeByScore(ctx, endedKey, by).Result()
		if err != nil {
			return fmt.Errorf("list expired jobs: %w", err)
		}
		if len(ended) == 0 {
			return nil
		}
		pipe := s.client.Pipeline()
		for _, m := range ended {
			owner, id, _ := strings.Cut(m, " ")
			pipe.ZRem(ctx, ownerKey(owner), id)
			pipe.ZRem(ctx, endedKey, m)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("forget %d expired jobs: %w", len(ended), err)
		}
	}
}
