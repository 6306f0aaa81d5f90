package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// createWindow is how long after it was sent a record may still be written; createTimeout leaves the reply some
	// time to arrive. Together they keep a refusal under the two seconds a caller is promised.
	createWindow  = 1300 * time.Millisecond
	createTimeout = 1700 * time.Millisecond
)

// errTooLate says that a command came to Redis after its latest moment, and did nothing.
var errTooLate = errors.New("redis answered too late")

// Create writes the record of a new job, whose pictures wait in the queues, and returns when it was made, by Redis' clock.
// token is the caller's that stays on the line for n.WaitFor; empty: none does. Either the record is written within about
// a second and a half, or it never will be: a caller that got an error may tell its own that there is no job.
//
// What follow adds is sent in the same round trip, to be done after that; sent says whether it was. In a Redis Cluster,
// whose nodes know no common order, it is not.
func (s *Store) Create(
	ctx context.Context, id ID, n New, queues []string, token string, follow func(redis.Pipeliner) error,
) (at time.Time, sent bool, err error) {
	texts, err := encodeNew(n)
	if err != nil {
		return at, false, fmt.Errorf("create job %s: %w", id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	err = s.inTime(ctx, func(notAfter int64) (ok bool, now time.Time, err error) {
		ok, at, sent, err = s.create(ctx, id, n, texts, queues, token, notAfter, follow)
		return ok, at, err
	})
	if err != nil {
		return at, false, fmt.Errorf("create job %s: %w", id, err)
	}
	return at, sent, nil
}

func encodeNew(n New) (texts [2]string, err error) {
	spec, err1 := json.Marshal(n.Spec)
	wish, err2 := json.Marshal(n.Wish)
	if err := errors.Join(err1, err2); err != nil {
		return texts, fmt.Errorf("encode: %w", err)
	}
	return [2]string{string(spec), string(wish)}, nil
}

// inTime runs a script that does nothing after a latest moment of Redis' clock, and says then what time it is. It returns
// errTooLate where it did nothing: a command that Redis finds in its socket after a stall must not have an effect that its
// caller was told long ago not to expect. The moment is a while before the deadline that ctx must have.
func (s *Store) inTime(ctx context.Context, run func(notAfter int64) (ok bool, now time.Time, err error)) error {
	end, _ := ctx.Deadline()
	deadline := end.Add(createWindow - createTimeout)
	for {
		if err := s.learnClock(ctx); err != nil {
			return err
		}
		ok, now, err := run(deadline.Add(s.clockSkew()).UnixMilli())
		if err != nil || ok {
			return err
		}
		// Redis says it is too late. If our own clock disagrees, one of the two was set meanwhile: learn and try again.
		s.skew.Store(time.Until(now).Milliseconds())
		if time.Now().After(deadline) {
			return errTooLate
		}
	}
}

func (s *Store) create(
	ctx context.Context, id ID, n New, texts [2]string, queues []string, token string, notAfter int64, follow func(redis.Pipeliner) error,
) (ok bool, at time.Time, sent bool, err error) {
	args := []any{
		notAfter, token, n.WaitFor.Milliseconds(), "status", string(StatusQueued), "owner", n.Owner, "class", string(n.Class),
		"spec", texts[0], "wish", texts[1], "v", 1,
	}
	if n.Spec.N() != 1 {
		args = append(args, "n", n.Spec.N())
	}
	if n.WebhookURL != "" {
		args = append(args, "hook", "wanted")
	}
	for i, q := range queues {
		args = append(args, pictureField("q", i), q)
	}
	// The id is listed before the record exists: a record the sweeper does not know of would be lost with its task.
	listed := redis.Z{Score: float64(notAfter), Member: string(id)}
	pipe := s.client.Pipeline()
	lists := []*redis.IntCmd{pipe.ZAdd(ctx, openKey, listed), pipe.ZAdd(ctx, ownerKey(n.Owner), listed)}
	cmd := createScript.EvalSha(ctx, pipe, []string{recordKey(id)}, args...)
	if follow != nil && !s.cluster {
		if err := follow(pipe); err != nil {
			return false, at, false, err
		}
		sent = true
	}
	_, _ = pipe.Exec(ctx) // what follows tells its own errors
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		// Its tasks may have been taken, and found without a record, by now: they are queued again.
		cmd, sent = createScript.Eval(ctx, s.client, []string{recordKey(id)}, args...), false
	}
	if err := errors.Join(lists[0].Err(), lists[1].Err(), cmd.Err()); err != nil {
		return false, at, false, fmt.Errorf("write record: %w", err)
	}
	got, err := cmd.Int64Slice()
	if err != nil || len(got) != 2 {
		return false, at, false, fmt.Errorf("write record: unexpected reply: %w", errors.Join(err, errShape))
	}
	return got[0] == 1, time.UnixMilli(got[1]), sent, nil
}

// learnClock asks Redis for its time, once. It also has Redis learn the script that writes records: a task that is queued
// behind one that is not known may be taken, and dropped, before there is a record.
func (s *Store) learnClock(ctx context.Context) error {
	if s.skewKnown.Load() {
		return nil
	}
	if err := createScript.Load(ctx, s.client).Err(); err != nil {
		return fmt.Errorf("load the script that writes records: %w", err)
	}
	at, err := s.client.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("ask redis for its time: %w", err)
	}
	s.skew.Store(time.Until(at).Milliseconds())
	s.skewKnown.Store(true)
	return nil
}

// clockSkew returns how far Redis' clock is ahead of ours, as far as is known.
func (s *Store) clockSkew() time.Duration { return time.Duration(s.skew.Load()) * time.Millisecond }
