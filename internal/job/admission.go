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
	// rank is how many pictures of the key and class waited before (in), or how many count where there is a limit.
	rank int
	now  int64 // unix ms by Redis' clock (late)
	// holder is the job that claimed the request before; sameBody says whether with the same body, age how long ago (held).
	holder   ID
	sameBody bool
	age      time.Duration
	// superseded is the claim that stood before this one, as Redis has it; empty: none did (in).
	superseded string
}

// admit claims the request and counts its pictures as waiting, or says why not; nothing is left behind then. replaced is
// the holder of a claim that may be taken over. notAfter is the latest moment, by Redis' clock.
func (s *Store) admit(ctx context.Context, id ID, n New, maxWaiting int, replaced ID, notAfter int64) (admission, error) {
	mode := n.Claim.Mode
	if mode == "" {
		mode = ClaimNothing
	}
	reply, err := admitScript.Run(ctx, s.client, admissionKeys(n), notAfter, string(mode), string(id), n.Claim.Body,
		claimTTL(mode, s.retention).Milliseconds(),
		string(replaced), string(n.Class), n.Spec.N(), maxWaiting, n.Limits.MaxPending, n.Limits.ImagesPerDay,
		waitingPrefix(n.Owner, id)).Slice()
	if err != nil {
		return admission{}, fmt.Errorf("admit job %s: %w", id, err)
	}
	a, ok := decodeAdmission(reply)
	if !ok {
		return admission{}, fmt.Errorf("admit job %s: %w", id, errShape)
	}
	return a, nil
}

// claimTTL is how long a claim is remembered.
func claimTTL(m ClaimMode, retention time.Duration) time.Duration {
	if m == ClaimByKey {
		return retention + keyClaimSlack
	}
	return retryClaimTTL
}

func decodeAdmission(reply []any) (a admission, ok bool) {
	if len(reply) != 4 {
		return a, false
	}
	verdict, ok1 := reply[0].(string)
	number, ok2 := reply[1].(int64)
	holder, ok3 := reply[2].(string)
	same, ok4 := reply[3].(int64)
	a = admission{verdict: verdict, sameBody: same == 1}
	switch verdict {
	case "held":
		a.holder = ID(holder)
		a.age = time.Duration(number) * time.Millisecond
	case "late":
		a.now = number
	default:
		a.rank, a.superseded = int(number), holder
	}
	return a, ok1 && ok2 && ok3 && ok4
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

// waitingCount returns how many pictures wait.
func (s *Store) waitingCount(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n, err := s.client.ZCard(ctx, waitingKey).Result()
	if err != nil {
		return 0, fmt.Errorf("count the pictures that wait: %w", err)
	}
	return int(n), nil
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

// admitScript claims a request and admits its pictures.
//
//	KEYS[1] waiting, KEYS[2] waiting of the owner, KEYS[3] the owner's today, KEYS[4] the claim
//	ARGV    not after (unix ms), mode of the claim, job id, digest of the body, life of the claim (ms), holder that is
//	        replaced or "", class, n, most that may wait in all, of the owner (0: any), a day (0: any), members without
//	        their image
//	returns {verdict, number, text, same body (1|0)}:
//	        in: number is how many of the owner's pictures of the class waited before, text the claim that stood before
//	        or "". held: number is the claim's age (ms), text its holder. full, key_full, quota: number is how many there are. late: number is the time (unix ms).
//	        Running it again is harmless.
var admitScript = redis.NewScript(luaNow + `
local at = now()
if at > tonumber(ARGV[1]) then return {"late", at, "", 0} end
local mode, id = ARGV[2], ARGV[3]
local before = mode ~= "none" and redis.call("GET", KEYS[4]) or ""
if before ~= "" then
  local holder, digest, since = string.match(before, "^(%S+) (%S+) (%d+)$")
  if holder == id then
    before = ""
  elseif mode ~= "first" and holder ~= ARGV[6] then
    return {"held", at - tonumber(since), holder, digest == ARGV[4] and 1 or 0}
  end
end
local n, batch = tonumber(ARGV[8]), ARGV[7] == "batch"
local again = redis.call("ZSCORE", KEYS[1], ARGV[12] .. "0")
if not again then
  local all = redis.call("ZCARD", KEYS[1])
  if all + n > tonumber(ARGV[9]) then return {"full", all, "", 0} end
  local own, most = redis.call("ZCARD", KEYS[2]), tonumber(ARGV[10])
  if most > 0 and own + n > most then return {"key_full", own, "", 0} end
  most = tonumber(ARGV[11])
  if most > 0 then
    redis.call("ZREMRANGEBYSCORE", KEYS[3], "-inf", "(" .. str(at - at % 86400000))
    local today = redis.call("ZCARD", KEYS[3])
    if today + n > most then return {"quota", today, "", 0} end
  end
end
local from, to = "(0", "+inf"
if batch then from, to = "-inf", "(0" end
local rank = redis.call("ZCOUNT", KEYS[2], from, to)
if again then rank = math.max(0, rank - n) end
for i = 0, n - 1 do
  local member = ARGV[12] .. str(i)
  redis.call("ZADD", KEYS[1], str(at), member)
  redis.call("ZADD", KEYS[2], str(batch and -at or at), member)
  if tonumber(ARGV[11]) > 0 then
    redis.call("ZADD", KEYS[3], str(at), member)
    redis.call("PEXPIRE", KEYS[3], 172800000)
  end
end
if mode ~= "none" then redis.call("SET", KEYS[4], id .. " " .. ARGV[4] .. " " .. str(at), "PX", ARGV[5]) end
return {"in", rank, before, 0}
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
