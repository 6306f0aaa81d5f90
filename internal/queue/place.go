package queue

import "github.com/redis/go-redis/v9"

// exactPlaces is how many places at the front of a queue are counted, and as many at its end, where a task is that has just
// come; those in between are told from when a task came. To look through all of a queue would keep Redis busy for as long as
// it is deep: milliseconds with 100,000 tasks, for each that is asked about.
const exactPlaces = 200

// placesScript finds tasks in a queue. Between the places that are counted it looks when the tasks on some landmarks came,
// and takes a task for as far between two of them as its own time is. There are 64, each by the same factor behind the one
// before, so that no estimate is off by more than that factor: a tenth, with 100,000 tasks. Each is looked at when needed,
// and once for all tasks. While a queue only drains an estimate never grows, as the landmarks move towards later tasks.
//
//	KEYS[1] asynq's pending list, into whose head tasks go and from whose tail they are taken
//	ARGV    prefix of the keys of the queue's tasks, how many places are counted at each end, ids of tasks
//	returns the length of the list, and the place of each task from the tail: 1 is the next, 0 does not wait
var placesScript = redis.NewScript(`
local length, exact = redis.call("LLEN", KEYS[1]), tonumber(ARGV[2])
local function placeOf(mark) return math.floor(exact * (length / exact) ^ (mark / 64) + 0.5) end
local function find(id)
  local at = redis.call("LPOS", KEYS[1], id, "MAXLEN", exact)
  if at or length <= exact then return at end
  return redis.call("LPOS", KEYS[1], id, "RANK", -1, "MAXLEN", exact)
end
local times = {}
local function timeOf(mark)
  if not times[mark] then
    local id = redis.call("LINDEX", KEYS[1], -placeOf(mark))
    -- No time: it was put back at the tail, or run from the dashboard.
    times[mark] = tonumber(redis.call("HGET", ARGV[1] .. id, "pending_since") or "0")
  end
  return times[mark]
end
local function estimate(at)
  local low, high = 0, 64
  while high - low > 1 do
    local mid = math.floor((low + high) / 2)
    if timeOf(mid) <= at then low = mid else high = mid end
  end
  local place, from, to = placeOf(high), timeOf(low), timeOf(high)
  if from <= at and at < to then
    place = placeOf(low) + math.floor((place - placeOf(low)) * (at - from) / (to - from))
  end
  return math.max(place, exact + 1)
end
local reply = {length}
for i = 3, #ARGV do
  local place, at = 0, find(ARGV[i])
  if at then
    place = length - at
  elseif length > exact then
    local task = redis.call("HMGET", ARGV[1] .. ARGV[i], "state", "pending_since")
    if task[1] == "pending" then place = task[2] and estimate(tonumber(task[2])) or length end
  end
  reply[i - 1] = place
end
return reply
`)
