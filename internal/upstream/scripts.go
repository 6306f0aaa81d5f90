package upstream

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// stateKey is a hash with a TTL that is there only while something is wrong with an upstream. Times are unix ms by Redis'
// clock.
//
//	f, t              calls in a row that failed for a passing reason; when the first of them was reported
//	until             it is spared calls until then, or until the probe's time is over
//	pause, probe      how long the last pause was (ms); the call that tries whether it is back
//	k:<key>, f:<key>  a key rests until then; calls with it in a row that failed
//	d:<key>           the order whose refusal may have been the key's or the order's own doing
//
// The braces put it beside the other keys of dispatch in a Redis Cluster.
func stateKey(name string) string { return "zimage:{dispatch}:breaker:" + name }

const (
	// longestPause bounds the pauses between probes.
	longestPause = 60 * time.Second
	// keyRest is how long a refused key rests, and how long the call may take that tries it again.
	keyRest = 60 * time.Second
	// probeLease is how long a probe's worker may be silent before another may be sent: it may have died. It says every
	// probeRenewal that the call is under way.
	probeLease   = 60 * time.Second
	probeRenewal = 15 * time.Second
	// stateTTL is longer than any of them.
	stateTTL = 10 * time.Minute
)

const luaNow = `
local function now()
  local t = redis.call("TIME")
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function str(n) return string.format("%.0f", n) end
`

// reportScript notes how a call ended. While an upstream is spared calls only the probe changes that: the others were sent
// before, and say nothing of it now. For the same reason a call that was sent before the first failure of a row ends the row
// only where some later call has not failed yet.
//
//	KEYS[1] state
//	ARGV    what it says of the upstream (alive|failed|nothing), probe or "", threshold, first pause (ms), longest (ms),
//	        pause the upstream asked for (ms), key, what it says of the key (good|refused|doubtful|failed|nothing), rest of a
//	        key (ms), number of keys, TTL (ms), how long ago the call was sent (ms), a call sent since the first failure is
//	        under way (1|0), digest of the order
//	returns {failures in a row, pause that begins (ms) or 0, a pause ended (1|0), the key rests from now (1|0)}
var reportScript = redis.NewScript(luaNow + `
local said, probe, threshold, key = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[7]
local at = now()
local r = redis.call("HMGET", KEYS[1], "f", "pause", "until", "probe", "t")
local f, open, mine = tonumber(r[1] or "0"), r[3], probe ~= "" and r[4] == probe
local pause, closed, rests = 0, 0, 0
if said == "alive" then
  local before = r[5] and at - tonumber(ARGV[12]) < tonumber(r[5])
  if open and mine then closed = 1 end
  if closed == 1 or (not open and (not before or ARGV[13] == "1")) then
    redis.call("HDEL", KEYS[1], "f", "t", "pause", "until", "probe")
    f = 0
  end
elseif said == "failed" then
  local least = tonumber(ARGV[6])
  if not open then
    f = f + 1
    redis.call("HSET", KEYS[1], "f", str(f))
    redis.call("HSETNX", KEYS[1], "t", str(at))
    if f >= threshold then pause = math.max(tonumber(ARGV[4]), least) end
  elseif mine then
    pause = math.max(2 * tonumber(r[2]), least)
  end
  if pause > 0 then
    pause = math.min(pause, tonumber(ARGV[5]))
    redis.call("HSET", KEYS[1], "pause", str(pause), "until", str(at + pause))
    redis.call("HDEL", KEYS[1], "probe")
  end
elseif mine then
  redis.call("HSET", KEYS[1], "until", str(at))
  redis.call("HDEL", KEYS[1], "probe")
end
if ARGV[8] == "good" then
  redis.call("HDEL", KEYS[1], "k:" .. key, "f:" .. key, "d:" .. key)
elseif ARGV[8] == "refused" then
  rests = 1
elseif ARGV[8] == "doubtful" then
  -- Its words speak of our account, and may be an echo of the client's: two different orders have to hear them.
  local before = redis.call("HGET", KEYS[1], "d:" .. key)
  if redis.call("HEXISTS", KEYS[1], "k:" .. key) == 1 or (before and before ~= ARGV[14]) then
    rests = 1
  else
    redis.call("HSET", KEYS[1], "d:" .. key, ARGV[14])
  end
elseif ARGV[8] == "failed" and not open then
  local resting = 0
  for _, name in ipairs(redis.call("HKEYS", KEYS[1])) do
    if string.sub(name, 1, 2) == "k:" then resting = resting + 1 end
    if pause > 0 and string.sub(name, 1, 2) == "f:" then redis.call("HDEL", KEYS[1], name) end
  end
  -- The upstream fails with one key only: the others go on. The last one never rests for this.
  if pause == 0 and tonumber(ARGV[10]) - resting > 1 and redis.call("HINCRBY", KEYS[1], "f:" .. key, 1) >= threshold then
    rests = 1
  end
end
if rests == 1 then
  redis.call("HSET", KEYS[1], "k:" .. key, str(at + tonumber(ARGV[9])))
  redis.call("HDEL", KEYS[1], "f:" .. key, "d:" .. key)
end
redis.call("PEXPIRE", KEYS[1], ARGV[11])
return {f, pause, closed, rests}
`)

// claimScript asks for the one call that tries an upstream again.
//
//	KEYS[1] state
//	ARGV    probe, its time (ms), TTL (ms)
//	returns 1; 2 where the upstream is not spared calls; 0 where it is not to be tried now
var claimScript = redis.NewScript(luaNow + `
local at, open = now(), redis.call("HGET", KEYS[1], "until")
if not open then return 2 end
if tonumber(open) > at then return 0 end
redis.call("HSET", KEYS[1], "probe", ARGV[1], "until", str(at + tonumber(ARGV[2])))
redis.call("PEXPIRE", KEYS[1], ARGV[3])
return 1
`)

// renewProbeScript says that the probe is under way.
//
//	KEYS[1] state
//	ARGV    probe, its time (ms), TTL (ms)
//	returns 1, or 0 where it is not the probe any more
var renewProbeScript = redis.NewScript(luaNow + `
if redis.call("HGET", KEYS[1], "probe") ~= ARGV[1] then return 0 end
redis.call("HSET", KEYS[1], "until", str(now() + tonumber(ARGV[2])))
redis.call("PEXPIRE", KEYS[1], ARGV[3])
return 1
`)

// claimKeyScript asks for the one call that tries a key again.
//
//	KEYS[1] state
//	ARGV    key, its time (ms), TTL (ms)
//	returns 1, or 0 where the key rests
var claimKeyScript = redis.NewScript(luaNow + `
local at, rests = now(), redis.call("HGET", KEYS[1], "k:" .. ARGV[1])
if not rests then return 1 end
if tonumber(rests) > at then return 0 end
redis.call("HSET", KEYS[1], "k:" .. ARGV[1], str(at + tonumber(ARGV[2])))
redis.call("PEXPIRE", KEYS[1], ARGV[3])
return 1
`)
