package job

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// draft is what the script that makes a job is given beside the job.
type draft struct {
	queues []string // of the lanes that its pictures may have
	token  string   // of the caller that stays on the line; empty: none does
	insert Insert   // of its tasks
}

// submit claims the request, admits its pictures, writes the record and queues the tasks, all in one script; or says why not,
// and leaves nothing behind.
func (s *Store) submit(ctx context.Context, id ID, n New, maxWaiting int, replaced ID, d draft) (admission, error) {
	return s.run(ctx, id, n, d, -1, func(notAfter int64) []any { return s.admissionArgs(id, n, maxWaiting, replaced, notAfter) })
}

// make writes the record of a job that was admitted, before which so many pictures waited, and queues its tasks.
func (s *Store) make(ctx context.Context, id ID, n New, rank int, d draft) (at time.Time, err error) {
	a, err := s.run(ctx, id, n, d, rank, func(notAfter int64) []any { return s.admissionArgs(id, n, 0, "", notAfter) })
	return a.made, err
}

// run runs the script that makes a job; rank is -1 where it is to admit it, too.
func (s *Store) run(ctx context.Context, id ID, n New, d draft, rank int, admit func(notAfter int64) []any) (a admission, err error) {
	fields, err := newFields(n, nil)
	if err != nil {
		return a, fmt.Errorf("make job %s: %w", id, err)
	}
	keys := append(admissionKeys(n), recordKey(id), openKey, ownerKey(n.Owner))
	args := []any{rank, d.token, n.WaitFor.Milliseconds()}
	for _, q := range d.queues {
		args = append(args, q)
	}
	args = append(args, fields...)
	script := s.submitScript(d.insert.Lua)
	err = s.inTime(ctx, func(notAfter int64) (ok bool, now time.Time, err error) {
		all := slices.Concat(admit(notAfter), []any{len(d.insert.Args)}, d.insert.Args, args)
		a, err = decodeAdmission(id, script.Run(ctx, s.client, keys, all...))
		return a.verdict != "late", time.UnixMilli(a.now), err
	})
	return a, err
}

// submitScript returns the script that makes a job, with a queue's part in it. That is nearly always the same.
func (s *Store) submitScript(insert string) *redis.Script {
	if last := s.submitting.Load(); last != nil && last.insert == insert {
		return last.script
	}
	made := &submitting{insert, redis.NewScript(luaNow + luaAdmit + luaRecord + luaLane + insert + luaSubmit)}
	s.submitting.Store(made)
	return made.script
}

// submitting is the script that makes jobs, and the queue's part of it.
type submitting struct {
	insert string
	script *redis.Script
}

// luaSubmit admits a job and makes it. It writes the record after the tasks: nobody sees one without the other, and where
// something is wrong with a queue there is no job. Running it again is harmless.
//
//	KEYS    as for luaAdmit; KEYS[5] record, KEYS[6] open jobs, KEYS[7] the owner's jobs
//	ARGV    as for luaAdmit; [13] how many are the queue's; the queue's, for a task of each picture;
//	        then how many pictures waited before it, where it was admitted by itself, else -1;
//	        token of the caller on the line or "", how long it stays (ms), the names of the four queues, fields of the
//	        record and their values
//	returns as luaAdmit, with the time at which the job was made (ms) in place of the last 0; where the record was there
//	        already number is -1; {"late", now ms, "", 0, 0}
const luaSubmit = `
local created = redis.call("HGET", KEYS[5], "created") -- before the time: what is repeated late has been done
if created then return {"in", -1, "", 0, tonumber(created)} end
local at, ms = now()
if at > tonumber(ARGV[1]) then return {"late", at, "", 0, 0} end
local a = 14 + tonumber(ARGV[13])
local answer = {"in", tonumber(ARGV[a]), "", 0, 0}
if answer[2] < 0 then
  answer = admit(at, ms)
  if answer[1] ~= "in" then return answer end
end
redis.call("ZADD", KEYS[6], ms, ARGV[3])
redis.call("ZADD", KEYS[7], ms, ARGV[3])
for i = 0, tonumber(ARGV[8]) - 1 do
  local queue = ARGV[a + 3 + lane(answer[2] + i)]
  enqueue(i, queue, 14)
  ARGV[#ARGV + 1] = "q" .. i
  ARGV[#ARGV + 1] = queue
end
record(KEYS[5], at, ms, ARGV[a + 1], ARGV[a + 2], a + 7)
answer[5] = at
return answer
`
