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
// It queues nothing: [Service.Submit] does.
func (s *Store) Create(ctx context.Context, id ID, n New, queues []string, token string) (at time.Time, err error) {
	fields, err := newFields(n, queues)
	if err != nil {
		return at, fmt.Errorf("create job %s: %w", id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	err = s.inTime(ctx, func(notAfter int64) (ok bool, now time.Time, err error) {
		ok, at, err = s.create(ctx, id, n, fields, token, notAfter)
		return ok, at, err
	})
	if err != nil {
		return at, fmt.Errorf("create job %s: %w", id, err)
	}
	return at, nil
}

// newFields returns the fields of a new record and their values.
func newFields(n New, queues []string) ([]any, error) {
	spec, err1 := json.Marshal(n.Spec)
	wish, err2 := json.Marshal(n.Wish)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	fields := []any{
		"status", string(StatusQueued), "owner", n.Owner, "class", string(n.Class), "spec", spec, "wish", wish, "v", 1,
	}
	if n.Spec.N() != 1 {
		fields = append(fields, "n", n.Spec.N())
	}
	if n.WebhookURL != "" {
		fields = append(fields, "hook", "wanted")
	}
	for i, q := range queues {
		fields = append(fields, pictureField("q", i), q)
	}
	return fields, nil
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
	ctx context.Context, id ID, n New, fields []any, token string, notAfter int64,
) (ok bool, at time.Time, err error) {
	args := append([]any{notAfter, token, n.WaitFor.Milliseconds()}, fields...)
	// The id is listed before the record exists: a record the sweeper does not know of would be lost with its task.
	listed := redis.Z{Score: float64(notAfter), Member: string(id)}
	cmd, err := s.withScript(ctx, createScript, recordKey(id), args, func(pipe redis.Pipeliner) {
		pipe.ZAdd(ctx, openKey, listed)
		pipe.ZAdd(ctx, ownerKey(n.Owner), listed)
	})
	if err != nil {
		return false, at, fmt.Errorf("write record: %w", err)
	}
	got, err := cmd.Int64Slice()
	if err != nil || len(got) != 2 {
		return false, at, fmt.Errorf("write record: unexpected reply: %w", errors.Join(err, errShape))
	}
	return got[0] == 1, time.UnixMilli(got[1]), nil
}

// learnClock asks Redis for its time, once.
func (s *Store) learnClock(ctx context.Context) error {
	if s.skewKnown.Load() {
		return nil
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

// luaRecord defines record(): it writes a new job's record, of the fields from ARGV[first] on and their values, with the
// caller that stays on the line for some time, if its token is not "".
const luaRecord = `
local function record(key, at, ms, token, stays, first)
  if token ~= "" then
    ARGV[#ARGV + 1] = "w:" .. token
    ARGV[#ARGV + 1] = str(at + tonumber(stays))
  end
  redis.call("HSET", key, "created", ms, unpack(ARGV, first))
end
`

// createScript writes a record, unless it comes too late: a command that Redis finds in its socket after a stall must
// not make a job whose caller was told long ago that there is none.
//
//	KEYS[1] record
//	ARGV    not after (unix ms), token of the caller on the line or "", how long it stays (ms), fields of the record and
//	        their values
//	returns {1, created ms}; {0, now ms} when too late. Running it again is harmless.
var createScript = redis.NewScript(luaNow + luaRecord + `
local created = redis.call("HGET", KEYS[1], "created") -- before the time: what is repeated late has been done
if created then return {1, tonumber(created)} end
local at, ms = now()
if at > tonumber(ARGV[1]) then return {0, at} end
record(KEYS[1], at, ms, ARGV[2], ARGV[3], 4)
return {1, at}
`)
