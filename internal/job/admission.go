package job

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// retryClaimTTL is how long a client's repetition of a request finds the job of the first.
	retryClaimTTL = 15 * time.Minute
	// keyClaimSlack is how much longer than a finished job's retention an idempotency key is remembered. Whether its job
	// can still be read is the record's to say; this bounds the time that the job itself may take.
	keyClaimSlack = 48 * time.Hour
	// claimGrace is how old a claim without a record must be to be taken over: whoever made it has seconds to write one.
	claimGrace = 5 * time.Second
)

// admission is the answer to a request for a job.
type admission struct {
	verdict string // in, held, full, key_full, quota or late
	// rank is how many pictures of the key and class waited before (in), not known (-1) where the record was there already; or
	// how many count where there is a limit.
	rank int
	now  int64 // unix ms by Redis' clock (late)
	// holder is the job that claimed the request before; sameBody says whether with the same body, age how long ago (held).
	holder   ID
	sameBody bool
	age      time.Duration
	// superseded is the claim that stood before this one, as Redis has it; empty: none did (in).
	superseded string
	// made is when the record was written; zero: it is to be (in).
	made time.Time
}

// admit claims the request and counts its pictures as waiting, or says why not; nothing is left behind then. replaced is
// the holder of a claim that may be taken over.
func (s *Store) admit(ctx context.Context, id ID, n New, maxWaiting int, replaced ID) (a admission, err error) {
	err = s.inTime(ctx, func(notAfter int64) (ok bool, now time.Time, err error) {
		args := s.admissionArgs(id, n, maxWaiting, replaced, notAfter)
		a, err = decodeAdmission(id, admitScript.Run(ctx, s.client, admissionKeys(n), args...))
		return a.verdict != "late", time.UnixMilli(a.now), err
	})
	return a, err
}

// admissionArgs returns the arguments of luaAdmit. notAfter is the latest moment, by Redis' clock.
func (s *Store) admissionArgs(id ID, n New, maxWaiting int, replaced ID, notAfter int64) []any {
	mode := n.Claim.Mode
	if mode == "" {
		mode = ClaimNothing
	}
	return []any{
		notAfter, string(mode), string(id), n.Claim.Body, claimTTL(mode, s.retention).Milliseconds(), string(replaced),
		string(n.Class), n.Spec.N(), maxWaiting, n.Limits.MaxPending, n.Limits.ImagesPerDay, waitingPrefix(n.Owner, id),
	}
}

// claimTTL is how long a claim is remembered.
func claimTTL(m ClaimMode, retention time.Duration) time.Duration {
	if m == ClaimByKey {
		return retention + keyClaimSlack
	}
	return retryClaimTTL
}

func decodeAdmission(id ID, cmd *redis.Cmd) (a admission, err error) {
	reply, err := cmd.Slice()
	if err != nil {
		return a, fmt.Errorf("admit job %s: %w", id, err)
	}
	if len(reply) != 5 {
		return a, fmt.Errorf("admit job %s: %w", id, errShape)
	}
	verdict, ok1 := reply[0].(string)
	number, ok2 := reply[1].(int64)
	text, ok3 := reply[2].(string)
	same, ok4 := reply[3].(int64)
	made, ok5 := reply[4].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return a, fmt.Errorf("admit job %s: %w", id, errShape)
	}
	a = admission{verdict: verdict, sameBody: same == 1}
	switch verdict {
	case "held":
		a.holder = ID(text)
		a.age = time.Duration(number) * time.Millisecond
	case "late":
		a.now = number
	default:
		a.rank, a.superseded = int(number), text
	}
	if made != 0 {
		a.made = time.UnixMilli(made)
	}
	return a, nil
}

func admissionKeys(n New) []string {
	return []string{waitingKey, waitingOfKey(n.Owner), todayKey(n.Owner), claimKey(n.Claim.Key)}
}

// withdraw takes back what admit did for a job that is not made. The claim that stood before stands again.
func (s *Store) withdraw(ctx context.Context, id ID, n New, superseded string) error {
	args := []any{string(id), superseded, claimTTL(n.Claim.Mode, s.retention).Milliseconds()}
	for i := range n.Spec.N() {
		args = append(args, waitingMember(n.Owner, id, i))
	}
	if err := withdrawScript.Run(ctx, s.client, admissionKeys(n), args...).Err(); err != nil {
		return fmt.Errorf("withdraw job %s: %w", id, err)
	}
	return nil
}

// CountWaiting adds to a pipeline the question how many pictures wait.
func CountWaiting(ctx context.Context, pipe redis.Pipeliner) *redis.IntCmd {
	return pipe.ZCard(ctx, waitingKey)
}

// waits adds to a pipeline that the picture waits (again).
func waits(ctx context.Context, pipe redis.Pipeliner, t Task, c Class, at time.Time) {
	score := float64(at.UnixMilli())
	pipe.ZAdd(ctx, waitingKey, redis.Z{Score: score, Member: t.waitingMember()})
	if c == ClassBatch {
		score = -score
	}
	pipe.ZAdd(ctx, waitingOfKey(t.Owner), redis.Z{Score: score, Member: t.waitingMember()})
}

// waitsNoMore adds to a pipeline that the picture does not wait. The set of all is the last: the sweeper looks at that one.
func waitsNoMore(ctx context.Context, pipe redis.Pipeliner, t Task) {
	pipe.ZRem(ctx, waitingOfKey(t.Owner), t.waitingMember())
	pipe.ZRem(ctx, waitingKey, t.waitingMember())
}

// luaAdmit defines admit(): it claims a request and admits its pictures, or does nothing and says why. ms is the time in
// writing. Running it again is harmless.
//
//	KEYS[1] waiting, KEYS[2] waiting of the owner, KEYS[3] the owner's today, KEYS[4] the claim
//	ARGV    not after (unix ms), mode of the claim, job id, digest of the body, life of the claim (ms), holder that is
//	        replaced or "", class, n, most that may wait in all, of the owner (0: any), a day (0: any), members without
//	        their image
//	returns {verdict, number, text, same body (1|0), 0}:
//	        in: number is how many of the owner's pictures of the class waited before, text the claim that stood before
//	        or "". held: number is the claim's age (ms), text its holder. full, key_full, quota: number is how many there are.
//
// Pictures are added first and taken back where there is no room: that there is none is rare, and adding tells whether
// they are new.
const luaAdmit = `
local function admit(at, ms)
  local mode, id, before = ARGV[2], ARGV[3], ""
  if mode ~= "none" then before = redis.call("GET", KEYS[4]) or "" end
  if before ~= "" then
    local holder, digest, since = string.match(before, "^(%S+) (%S+) (%d+)$")
    if holder == id then
      before = ""
    elseif mode ~= "first" and holder ~= ARGV[6] then
      return {"held", at - tonumber(since), holder, digest == ARGV[4] and 1 or 0, 0}
    end
  end
  local n, added = tonumber(ARGV[8]), 0
  for i = 0, n - 1 do added = added + redis.call("ZADD", KEYS[1], "NX", ms, ARGV[12] .. i) end
  if added > 0 then
    local verdict, there = "full", redis.call("ZCARD", KEYS[1]) - n
    if there + n <= tonumber(ARGV[9]) then
      verdict = "in"
      if ARGV[10] ~= "0" then
        there = redis.call("ZCARD", KEYS[2])
        if there + n > tonumber(ARGV[10]) then verdict = "key_full" end
      end
      if verdict == "in" and ARGV[11] ~= "0" then
        redis.call("ZREMRANGEBYSCORE", KEYS[3], "-inf", "(" .. str(at - at % 86400000))
        there = redis.call("ZCARD", KEYS[3])
        if there + n > tonumber(ARGV[11]) then verdict = "quota" end
      end
    end
    if verdict ~= "in" then
      for i = 0, n - 1 do redis.call("ZREM", KEYS[1], ARGV[12] .. i) end
      return {verdict, there, "", 0, 0}
    end
  end
  local rank, score
  if ARGV[7] == "batch" then
    rank, score = redis.call("ZCOUNT", KEYS[2], "-inf", "(0"), "-" .. ms
  else
    rank, score = redis.call("ZCOUNT", KEYS[2], "(0", "+inf"), ms
  end
  if added == 0 then rank = math.max(0, rank - n) end
  for i = 0, n - 1 do redis.call("ZADD", KEYS[2], score, ARGV[12] .. i) end
  if ARGV[11] ~= "0" then
    for i = 0, n - 1 do redis.call("ZADD", KEYS[3], ms, ARGV[12] .. i) end
    redis.call("PEXPIRE", KEYS[3], "172800000")
  end
  if mode ~= "none" then redis.call("SET", KEYS[4], id .. " " .. ARGV[4] .. " " .. ms, "PX", ARGV[5]) end
  return {"in", rank, before, 0, 0}
end
`

// admitScript does what luaAdmit says, unless it comes too late: {"late", now ms, "", 0, 0}.
var admitScript = redis.NewScript(luaNow + luaAdmit + `
local at, ms = now()
if at > tonumber(ARGV[1]) then return {"late", at, "", 0, 0} end
return admit(at, ms)
`)

// withdrawScript takes back an admission.
//
//	KEYS    as for admitScript
//	ARGV    job id, claim that stood before or "", its life (ms), members
//	returns 1
var withdrawScript = redis.NewScript(`
for i = 4, #ARGV do
  for k = 1, 3 do redis.call("ZREM", KEYS[k], ARGV[i]) end
end
local claim = redis.call("GET", KEYS[4])
if not claim or string.match(claim, "^(%S+)") ~= ARGV[1] then return 1 end
if ARGV[2] == "" then
  redis.call("DEL", KEYS[4])
else
  redis.call("SET", KEYS[4], ARGV[2], "PX", ARGV[3])
end
return 1
`)
