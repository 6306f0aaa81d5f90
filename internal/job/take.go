package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// beginWithin is how long after it was asked for a call may begin with its task: who asked has read no reply for longer
// than that, or will read none, and looks for calls that began unheard.
const beginWithin = 2 * time.Second

// TakeScript returns a script that takes a task with another script, and begins the call for it. Of the other one it has to be
// known that it returns the message of the task that it moved to the head of its third key. All keys have to be on one server.
//
//	KEYS    the other script's
//	ARGV    the other script's two, then what [Store.TakeArgs] returns
//	returns what the other one does where it takes nothing, else {message, answer of start(): none where no call was to
//	        begin or it could not be}
func TakeScript(other string) string {
	return luaNow + luaStart + `
local function take(KEYS, ARGV)
` + other + `
end
local message = take(KEYS, ARGV)
if not message then return message end
local call = ARGV[3]
if call == "" then return {message} end
local name = redis.call("LINDEX", KEYS[3], 0)
if not name or not string.find(message, name, 1, true) then return {message} end
local id, image, generation = string.match(name, "^(job_%w+)/(%d+)/(%d+)$")
if not id then return {message} end
local ok, answer = pcall(start, {"zimage:job:{" .. id .. "}", "` + waitingKey + `"},
  {image, generation, call, ARGV[4], ARGV[5], ARGV[6], id, "` + EventsChannel + `", ARGV[7], "0", ARGV[8]})
if not ok then return {message} end
return {message, answer}
`
}

// TakeArgs returns what [TakeScript] is to know of a call that may begin, asked for now; callID is empty where none may.
func (s *Store) TakeArgs(callID, upstream string, o StartOptions, now time.Time) []any {
	return []any{
		callID, o.MarkTTL.Milliseconds(), o.MaxAttempts, o.RepeatAmbiguous, upstream,
		now.Add(beginWithin + s.clockSkew()).UnixMilli(),
	}
}

// Taken reads a reply of [TakeScript]: the message, and the answer for [DecodeStart]; nil where no call began.
func (s *Store) Taken(reply []any) (message string, answer []any, err error) {
	if len(reply) == 0 {
		return "", nil, errShape
	}
	message, ok := reply[0].(string)
	if !ok {
		return "", nil, errShape
	}
	if len(reply) < 2 {
		return message, nil, nil
	}
	answer, ok = reply[1].([]any)
	if !ok || len(answer) == 0 {
		return "", nil, errShape
	}
	switch answer[0] {
	case string(startLate):
		s.learnTime(answer, 1)
		return message, nil, nil
	case string(StartGo):
		s.learnTime(answer, 7)
	}
	return message, answer, nil
}

// learnTime notes what time it is by Redis' clock, as an answer says it.
func (s *Store) learnTime(answer []any, place int) {
	if place < len(answer) {
		if at, ok := answer[place].(int64); ok {
			s.skew.Store(time.Until(time.UnixMilli(at)).Milliseconds())
		}
	}
}

// DecodeStart reads the answer of [Store.Taken].
func DecodeStart(answer []any) (Start, error) { return decodeStart(answer) }

// Owned returns the tasks of a queue whose pictures are a call's, by the call's id. Tasks are given by their ids.
func (s *Store) Owned(ctx context.Context, queue string, tasks []string) (map[string]Task, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pipe := s.client.Pipeline()
	replies := make(map[Task]*redis.SliceCmd, len(tasks))
	for _, name := range tasks {
		if t, ok := parseTaskID(queue, name); ok {
			replies[t] = pipe.HMGet(ctx, recordKey(t.Job), pictureField("o", t.Image), "owner")
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		if _, answered := errors.AsType[redis.Error](err); !answered {
			return nil, fmt.Errorf("read whose %d tasks are: %w", len(tasks), err)
		}
	}
	owned := make(map[string]Task)
	for t, r := range replies {
		values := r.Val()
		if len(values) != 2 { // it is no record
			continue
		}
		if call, ok := values[0].(string); ok && call != "" {
			t.Owner, _ = values[1].(string)
			owned[call] = t
		}
	}
	return owned, nil
}

// NotMade takes back a call that began and was not made: it does not count, nothing was paid for it, and the picture waits
// again. Doing it twice is harmless.
func (s *Store) NotMade(ctx context.Context, t Task, callID, upstream string, b Start) error {
	f := Finish{Verdict: FinishRetry, Class: b.Class, Free: true}
	switch b.Verdict {
	case StartGo:
		f.Call = &Call{
			Image: t.Image, Attempt: b.Attempt, Upstream: upstream, StartedAt: b.StartedAt,
			Outcome: CallFailed, Billed: imagegen.BilledNo,
		}
	case StartCopy: // it is only given up
	case StartGone, StartOwned, StartLook, StartSpent, StartAmbiguous, startLate:
		return nil // it did not begin
	}
	_, err := s.Finish(ctx, t, callID, f)
	return err
}
