package job

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// draft is what the script that makes a job is given beside the job.
type draft struct {
	tasks  []Task
	token  string // of the caller that stays on the line; empty: none does
	insert Insert // of the tasks
	// least and greatest are how many of the key's pictures may have waited before for the tasks to be in the right lanes.
	least, greatest int
}

// submit claims the request, admits its pictures, writes the record and queues the tasks; or says why not, and leaves nothing
// behind. Where the pictures have other lanes than the tasks, the job is admitted, but not made.
func (s *Store) submit(ctx context.Context, id ID, n New, maxWaiting int, replaced ID, d draft) (a admission, err error) {
	fields, err := newFields(n, queuesOf(d.tasks))
	if err != nil {
		return a, fmt.Errorf("make job %s: %w", id, err)
	}
	err = s.inTime(ctx, func(notAfter int64) (ok bool, now time.Time, err error) {
		a, err = s.run(ctx, id, n, s.admissionArgs(id, n, maxWaiting, replaced, notAfter), fields, d)
		return a.verdict != "late", time.UnixMilli(a.now), err
	})
	return a, err
}

// make writes the record of a job that was admitted, and queues its tasks.
func (s *Store) make(ctx context.Context, id ID, n New, d draft) (at time.Time, err error) {
	fields, err := newFields(n, queuesOf(d.tasks))
	if err != nil {
		return at, fmt.Errorf("make job %s: %w", id, err)
	}
	err = s.inTime(ctx, func(notAfter int64) (ok bool, now time.Time, err error) {
		args := s.admissionArgs(id, n, 0, "", notAfter)
		args[1] = "admitted"
		a, err := s.run(ctx, id, n, args, fields, d)
		at = a.made
		return a.verdict != "late", time.UnixMilli(a.now), err
	})
	return at, err
}

func (s *Store) run(ctx context.Context, id ID, n New, admit, fields []any, d draft) (admission, error) {
	keys := append(admissionKeys(n), recordKey(id), openKey, ownerKey(n.Owner))
	keys = append(keys, d.insert.Keys...)
	args := make([]any, 0, len(admit)+5+len(d.insert.Args)+len(fields)+2)
	args = append(args, admit...)
	args = append(args, d.least, d.greatest, d.token, n.WaitFor.Milliseconds(), submitArgs+len(d.insert.Args))
	args = append(args, d.insert.Args...)
	args = append(args, fields...)
	return decodeAdmission(id, s.submitScript(d.insert.Lua).Run(ctx, s.client, keys, args...))
}

func queuesOf(tasks []Task) []string {
	queues := make([]string, len(tasks))
	for i, t := range tasks {
		queues[i] = t.Queue
	}
	return queues
}

// submitScript returns the script that makes a job, with a queue's part in it. That is nearly always the same.
func (s *Store) submitScript(insert string) *redis.Script {
	if last := s.submitting.Load(); last != nil && last.insert == insert {
		return last.script
	}
	made := &submitting{insert, redis.NewScript(luaNow + luaAdmit + luaRecord + insert + luaSubmit)}
	s.submitting.Store(made)
	return made.script
}

// submitting is the script that makes jobs, and the queue's part of it.
type submitting struct {
	insert string
	script *redis.Script
}

// submitArgs is how many arguments luaSubmit has before those of the queue.
const submitArgs = 17

// luaSubmit admits a job and makes it. It writes the record after the tasks: nobody sees one without the other, and where
// something is wrong with a queue there is no job. Running it again is harmless.
//
//	KEYS    as for luaAdmit; KEYS[5] record, KEYS[6] open jobs, KEYS[7] the owner's jobs, the queue's
//	ARGV    as for luaAdmit, where the mode may be admitted: that was done before;
//	        [13], [14] least and greatest number of waiting pictures for which the tasks are in the right lanes,
//	        [15] token of the caller on the line or "", [16] how long it stays (ms), [17] the last of the queue's,
//	        the queue's, fields of the record and their values
//	returns as luaAdmit, with the time at which the job was made (ms) in place of the last 0; {"late", now ms, "", 0, 0}
const luaSubmit = `
local at = now()
if at > tonumber(ARGV[1]) then return {"late", at, "", 0, 0} end
local created = redis.call("HGET", KEYS[5], "created")
if created then return {"in", 0, "", 0, tonumber(created)} end
local ms, answer = str(at), {"in", 0, "", 0, 0}
if ARGV[2] ~= "admitted" then
  answer = admit(at, ms)
  local rank = answer[2]
  if answer[1] ~= "in" or rank < tonumber(ARGV[13]) or rank > tonumber(ARGV[14]) then return answer end
end
redis.call("ZADD", KEYS[6], ms, ARGV[3])
redis.call("ZADD", KEYS[7], ms, ARGV[3])
local last = tonumber(ARGV[17])
enqueue(8, 18, last)
record(KEYS[5], at, ms, ARGV[15], ARGV[16], last + 1)
answer[5] = at
return answer
`
