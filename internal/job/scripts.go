package job

import "github.com/redis/go-redis/v9"

// The scripts below run on real Redis and on miniredis alike: numbers travel as strings, times are unix milliseconds of
// Redis' own clock, and what they publish of changes goes to EventsChannel. Every script is about one job only.

// luaNow defines now(), as a number and as text, and str() for times and int() for small numbers: to write floating-point
// numbers is dear, and %d knows no more than 32 bits on some machines.
const luaNow = `
local function now()
  local t = redis.call("TIME")
  local text = t[1] .. string.sub("00000" .. t[2], -6, -4)
  return tonumber(text), text
end
local function str(n) return string.format("%.0f", n) end
local function int(n) return string.format("%d", n) end
`

// luaFinish defines finish(): it adds to the fields f that are to be written what makes a job terminal. Its record is kept for
// the retention, and longer where a webhook is wanted, which may take a day; readers do not see it then. It returns when the
// retention is over and the state of the webhook.
const luaFinish = `
local function finish(key, f, status, at, text, retention, wanted)
  local expires, hook = str(at + retention), ""
  local gone = expires
  f[#f + 1] = "status"
  f[#f + 1] = status
  f[#f + 1] = "completed"
  f[#f + 1] = text
  f[#f + 1] = "expires"
  f[#f + 1] = expires
  if wanted then
    hook, gone = "due", str(at + math.max(retention, 90000000))
    f[#f + 1] = "hook"
    f[#f + 1] = hook
  end
  redis.call("PEXPIREAT", key, gone)
  return expires, hook
end
`

// luaOnTheLine defines onTheLine(): whether some caller waits for a job.
const luaOnTheLine = `
local function onTheLine(key, at)
  local f = redis.call("HGETALL", key)
  for i = 1, #f, 2 do
    if string.sub(f[i], 1, 2) == "w:" and tonumber(f[i + 1]) > at then return true end
  end
  return false
end
`

// luaStart defines start(), which takes a picture for one call: it sets the owner mark and opens the ledger entry. The same
// call asking again (a repeated command) gets the same answer and a fresh mark. A picture that is bought needs no call: it is
// taken to be copied.
//
//	KEYS[1] record, KEYS[2] all pictures that wait, of whom this one is none from then on: or none
//	ARGV    image, generation, call id, mark's life (ms), most counted calls to the upstream, repeat ambiguous calls (1|0),
//	        job id, channel, upstream, look only (1|0), not after (unix ms): or none
//	returns {"gone"} | {"late", now ms} | {"owned", ms left} |
//	        {"go" | "copy" | "look" | "spent" | "ambiguous", created ms, lane, spec, wish, calls made (copy: tries to copy),
//	         counted calls to the upstream, started ms, what was bought}
const luaStart = `
local function start(KEYS, ARGV)
local i, counted = ARGV[1], "n" .. ARGV[1] .. "." .. ARGV[9]
local r = redis.call("HMGET", KEYS[1], "status", "s" .. i, "g" .. i, "o" .. i, "u" .. i, "a" .. i, "x" .. i, "created", "class",
  "spec", "wish", "d" .. i, "y" .. i, counted, "v", "followed", "owner")
local status, owner = r[1], r[4]
if (status ~= "queued" and status ~= "in_progress") or (r[2] or "pending") ~= "pending" or (r[3] or "0") ~= ARGV[2] then return {"gone"} end
local at, text = now()
if ARGV[11] and at > tonumber(ARGV[11]) then return {"late", at} end
if KEYS[2] then
  local of = r[17] or ""
  local member = of .. "/" .. ARGV[7] .. "/" .. i
  redis.call("ZREM", KEYS[2] .. ":" .. of, member)
  redis.call("ZREM", KEYS[2], member)
end
local attempt, n = tonumber(r[6] or "0"), tonumber(r[14] or "0")
local function answer(verdict, calls, started)
  return {verdict, tonumber(r[8]), r[9], r[10], r[11] or "", calls, n, started, r[12] or ""}
end
if owner == ARGV[3] then
  redis.call("HSET", KEYS[1], "u" .. i, str(at + tonumber(ARGV[4])))
  if r[12] then return answer("copy", tonumber(r[13] or "0"), 0) end
  local c = redis.call("HGET", KEYS[1], "c" .. i .. "." .. int(attempt))
  return answer("go", attempt, tonumber(string.match(c, "^%S+ (%d+)")))
end
if owner and owner ~= "" and tonumber(r[5]) > at then return {"owned", tonumber(r[5]) - at} end
if r[12] then
  redis.call("HSET", KEYS[1], "o" .. i, ARGV[3], "u" .. i, str(at + tonumber(ARGV[4])))
  return answer("copy", tonumber(r[13] or "0"), 0)
end
if ARGV[6] == "0" and (r[7] == "open" or r[7] == "unknown") then return answer("ambiguous", attempt, 0) end
if ARGV[10] == "1" then return answer("look", attempt, 0) end
if n >= tonumber(ARGV[5]) then return answer("spent", attempt, 0) end
-- The last attempt is not begun with its task: if nobody hears of it, none is left.
if ARGV[11] and n + 1 >= tonumber(ARGV[5]) then return {"late", at} end
attempt, n = attempt + 1, n + 1
local v = int(r[15] + 1)
local f = {"o" .. i, ARGV[3], "u" .. i, str(at + tonumber(ARGV[4])), "a" .. i, int(attempt), "x" .. i, "open", "v", v,
  counted, int(n), "c" .. i .. "." .. int(attempt), ARGV[9] .. " " .. text .. " 0 unknown unknown"}
if status == "queued" then
  status = "in_progress"
  f[#f + 1] = "status"
  f[#f + 1] = status
  f[#f + 1] = "started"
  f[#f + 1] = text
end
redis.call("HSET", KEYS[1], unpack(f))
if r[16] then redis.call("PUBLISH", ARGV[8], ARGV[7] .. " " .. v .. " " .. status) end
return answer("go", attempt, at)
end
`

// startScript is luaStart alone.
var startScript = redis.NewScript(luaNow + luaStart + "return start(KEYS, ARGV)")

// finishScript closes a call. The ledger entry is always written: what was paid for stays visible. A picture that came
// is taken even from a worker that lost its mark (it is paid for), as long as no other result was first; a failure
// counts only from the owner, or where there is none. What is bought and still to be copied stays its owner's.
//
// Where one server has all keys it also does what follows the end of a job (see Store.closed).
//
//	KEYS[1] record, KEYS[2] ended jobs, KEYS[3] open jobs: both or none
//	ARGV    image, call id, attempt (0: no call), verdict (done|failed|retry|bought|recopy), ledger entry, billed,
//	        result, error or what was bought (JSON), retention (ms), job id, channel, upstream, the call counts (1|0)
//	returns {"gone"} | {"late"} | the same again where this very result is there | {status of the job after it, expires ms or "0", due where its webhook is, else ""}
var finishScript = redis.NewScript(luaNow + luaFinish + `
local i, verdict, call = ARGV[1], ARGV[4], ARGV[3] ~= "0"
local bought = verdict == "bought"
local r = redis.call("HMGET", KEYS[1], "status", "s" .. i, "o" .. i, "u" .. i, "n", "final", "done",
  verdict == "done" and "r" .. i or bought and "d" .. i or "e" .. i, "expires", "hook", "v", "owner", "a" .. i, "p" .. i, "d" .. i,
  "followed")
local status, state, owner, expires, hook, f = r[1], r[2] or "pending", r[3], "0", "", {}
if not status then return {"gone"} end
local at, text = now()
if call then f = {"c" .. i .. "." .. ARGV[3], ARGV[5]} end
local there = (state == verdict or bought) and r[8] == ARGV[7]
local owned = owner and owner ~= "" and owner ~= ARGV[2] and tonumber(r[4]) > at
if there or state ~= "pending" or (status ~= "queued" and status ~= "in_progress") or (owned and verdict ~= "done" and not bought) then
  if call then redis.call("HSET", KEYS[1], unpack(f)) end
  if there then return {status, r[9] or "0", r[10] == "due" and "due" or ""} end
  return {"late"}
end
local first = owner == ARGV[2] -- what is counted is counted once, however often a lost reply makes this run
if call then
  f[#f + 1] = "x" .. i
  f[#f + 1] = ARGV[6]
  if ARGV[12] == "0" and first then redis.call("HINCRBY", KEYS[1], "n" .. i .. "." .. ARGV[11], -1) end
end
if r[14] then redis.call("HDEL", KEYS[1], "p" .. i) end
if bought then
  redis.call("HSETNX", KEYS[1], "d" .. i, ARGV[7])
else
  f[#f + 1] = "o" .. i
  f[#f + 1] = ""
  f[#f + 1] = "u" .. i
  f[#f + 1] = "0"
end
if verdict == "recopy" and first then
  redis.call("HINCRBY", KEYS[1], "y" .. i, 1)
elseif verdict == "done" or verdict == "failed" then
  if r[15] then redis.call("HDEL", KEYS[1], "d" .. i) end
  local final, done = tonumber(r[6] or "0") + 1, tonumber(r[7] or "0")
  if verdict == "done" then done = done + 1 end
  for _, x in ipairs({"s" .. i, verdict, (verdict == "done" and "r" or "e") .. i, ARGV[7], "final", int(final), "done", int(done)}) do
    f[#f + 1] = x
  end
  if final == tonumber(r[5] or "1") then
    status = done > 0 and "completed" or "failed"
    expires, hook = finish(KEYS[1], f, status, at, text, tonumber(ARGV[8]), r[10] == "wanted")
  end
end
local v = int(r[11] + 1)
f[#f + 1] = "v"
f[#f + 1] = v
redis.call("HSET", KEYS[1], unpack(f))
if expires == "0" and not r[16] then return {status, expires, hook} end
local message = ARGV[9] .. " " .. v .. " " .. status
if status == "completed" and (r[5] or "1") == "1" and ARGV[3] == "1" and r[13] == "1" and #ARGV[7] < 4096 then -- all there is to know of it
  message = message .. " " .. text .. " " .. expires .. " " .. ARGV[5] .. " " .. ARGV[7]
end
redis.call("PUBLISH", ARGV[10], message)
if expires ~= "0" and KEYS[2] then
  redis.call("ZADD", KEYS[2], expires, r[12] .. " " .. ARGV[9])
  if hook == "" then redis.call("ZREM", KEYS[3], ARGV[9]) end
end
return {status, expires, hook}
`)

// moveScript sends a picture that is not being drawn to the first of other upstreams that may still be asked: its task gets
// a new generation, in that upstream's queue of the same lane. Running it again is harmless.
//
//	KEYS[1] record
//	ARGV    image, generation, upstream, it refused for its own reasons (1|0), most counted calls to an upstream, lane,
//	        its last call may be repeated (1|0), the other upstreams in the order in which they are tried
//	returns {generation, queue, class}; {-1, "", ""} where none may be asked; {0, "", ""} where there is nothing to move
var moveScript = redis.NewScript(luaNow + `
local i = ARGV[1]
local r = redis.call("HMGET", KEYS[1], "status", "s" .. i, "g" .. i, "o" .. i, "u" .. i, "class", "q" .. i)
if (r[1] ~= "queued" and r[1] ~= "in_progress") or (r[2] or "pending") ~= "pending" then return {0, "", ""} end
local generation = r[3] or "0"
if tonumber(generation) == tonumber(ARGV[2]) + 1 then return {tonumber(generation), r[7], r[6]} end
if generation ~= ARGV[2] or (r[4] and r[4] ~= "" and tonumber(r[5]) > now()) then return {0, "", ""} end
if ARGV[4] == "1" then redis.call("HSET", KEYS[1], "n" .. i .. "." .. ARGV[3], ARGV[5]) end
for k = 8, #ARGV do
  if tonumber(redis.call("HGET", KEYS[1], "n" .. i .. "." .. ARGV[k]) or "0") < tonumber(ARGV[5]) then
    local queue = ARGV[k] .. "-" .. ARGV[6]
    redis.call("HSET", KEYS[1], "q" .. i, queue)
    if ARGV[7] == "1" then redis.call("HDEL", KEYS[1], "x" .. i) end
    return {redis.call("HINCRBY", KEYS[1], "g" .. i, 1), queue, r[6]}
  end
end
return {-1, "", ""}
`)

// progressScript notes how much of a picture is drawn.
//
//	KEYS[1] record
//	ARGV    image, call id, parts of a hundred, job id, channel
//	returns 1, or 0 where the call is no longer the picture's
var progressScript = redis.NewScript(luaNow + `
local i = ARGV[1]
local r = redis.call("HMGET", KEYS[1], "status", "o" .. i, "followed")
if r[1] ~= "in_progress" or r[2] ~= ARGV[2] then return 0 end
redis.call("HSET", KEYS[1], "p" .. i, ARGV[3])
local v = redis.call("HINCRBY", KEYS[1], "v", 1)
if r[3] then redis.call("PUBLISH", ARGV[5], ARGV[4] .. " " .. int(v) .. " " .. r[1]) end
return 1
`)

// cancelScript ends a job that is not terminal yet. Its pictures that were drawn stay with it; calls under way hear of it
// by the message.
//
// It also ends a job that nobody waits for any more, if that is still so: a caller may have joined on another process.
//
//	KEYS[1] record
//	ARGV    retention (ms), job id, channel, grace (ms): "" cancels in any case; else only a job that was left by the last
//	        of its callers so long ago, started: "0": not where a call has begun, quiet: "1": nobody is told of the end,
//	        channel of cancelled jobs
//	returns {"gone"} | {status before it, "0" where nothing was done, else expires ms, due where its webhook is, else "",
//	        owner}
var cancelScript = redis.NewScript(luaNow + luaFinish + luaOnTheLine + `
local r = redis.call("HMGET", KEYS[1], "status", "keep", "left", "owner", "hook", "v")
local status, f = r[1], {}
if not status then return {"gone"} end
if status ~= "queued" and status ~= "in_progress" then return {status, "0", "", ""} end
local at, text = now()
if ARGV[4] ~= "" then
  if r[2] or not r[3] or tonumber(r[3]) > at - tonumber(ARGV[4]) or onTheLine(KEYS[1], at) then return {status, "0", "", ""} end
  if ARGV[5] == "0" and status ~= "queued" then return {status, "0", "", ""} end
  f = {"dropped", "1"}
end
if ARGV[6] == "1" then redis.call("HDEL", KEYS[1], "hook") end
local v = int(r[6] + 1)
f[#f + 1] = "v"
f[#f + 1] = v
local expires, hook = finish(KEYS[1], f, "cancelled", at, text, tonumber(ARGV[1]), r[5] == "wanted" and ARGV[6] ~= "1")
redis.call("HSET", KEYS[1], unpack(f))
for _, channel in ipairs({ARGV[3], ARGV[7]}) do redis.call("PUBLISH", channel, ARGV[2] .. " " .. v .. " cancelled") end
return {status, expires, hook, r[4]}
`)

// followScript reads a record for one who is to hear of every change of it from now on.
//
//	KEYS[1] record
//	returns its fields and their values
var followScript = redis.NewScript(`
local f = redis.call("HGETALL", KEYS[1])
if #f > 0 then redis.call("HSETNX", KEYS[1], "followed", "1") end
return f
`)

// renewScript keeps a call's owner mark.
//
//	KEYS[1] record
//	ARGV    image, call id, mark's life (ms)
//	returns 1, or 0 where the mark is another call's or gone
var renewScript = redis.NewScript(luaNow + `
local i = ARGV[1]
if redis.call("HGET", KEYS[1], "o" .. i) ~= ARGV[2] then return 0 end
redis.call("HSET", KEYS[1], "u" .. i, str(now() + tonumber(ARGV[3])))
return 1
`)

// raiseScript replaces a picture's lost task: the old generation becomes a no-op.
//
//	KEYS[1] record
//	ARGV    image, generation that was lost
//	returns {the new generation, class}; 0 where there is nothing to replace
var raiseScript = redis.NewScript(luaNow + `
local i = ARGV[1]
local r = redis.call("HMGET", KEYS[1], "status", "s" .. i, "g" .. i, "o" .. i, "u" .. i, "class")
if (r[1] ~= "queued" and r[1] ~= "in_progress") or (r[2] or "pending") ~= "pending" or (r[3] or "0") ~= ARGV[2] then return {0, ""} end
if r[4] and r[4] ~= "" and tonumber(r[5]) > now() then return {0, ""} end
return {redis.call("HINCRBY", KEYS[1], "g" .. i, 1), r[6] or ""}
`)

// leadScript makes one process the sweeper, or keeps it so.
//
//	KEYS[1] the sweeper's key
//	ARGV    process id, TTL (ms)
//	returns {1 when it leads or 0, now ms}
var leadScript = redis.NewScript(luaNow + `
local leader = redis.call("GET", KEYS[1])
if leader and leader ~= ARGV[1] then return {0, (now())} end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return {1, (now())}
`)
