package job

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// leftGrace is how long a job may be without a caller before it is dropped: official SDKs try again within it.
const leftGrace = 5 * time.Second

// leftSlack is how much later it is asked for: Redis' clock measures the grace.
const leftSlack = 250 * time.Millisecond

func newToken() string { return rand.Text() }

// join puts a caller on the line of a job for at most d. on is false where that has no meaning: the job is no caller's, or
// it has ended, or is not the owner's.
func (s *Store) join(ctx context.Context, owner string, id ID, token string, d time.Duration) (on bool, err error) {
	return s.line(ctx, joinScript, id, token, d.Milliseconds(), owner)
}

// keep takes a caller off the line that was promised that the job goes on. It does so whoever leaves after that.
func (s *Store) keep(ctx context.Context, id ID, token string) error {
	_, err := s.line(ctx, keepScript, id, token)
	return err
}

func (s *Store) line(ctx context.Context, script *redis.Script, id ID, args ...any) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	done, err := script.Run(ctx, s.client, []string{recordKey(id)}, args...).Int()
	if err != nil {
		return false, fmt.Errorf("note who waits for job %s: %w", id, err)
	}
	return done == 1, nil
}

// leave takes a caller off the line and reports whether it was the last one of a job that may be dropped.
func (s *Store) leave(ctx context.Context, id ID, token string) (last bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	left, err := leaveScript.Run(ctx, s.client, []string{recordKey(id)}, token).Int()
	if err != nil {
		return false, fmt.Errorf("note who left job %s: %w", id, err)
	}
	return left == 1, nil
}

// luaCallers defines callers(): whether a job is one that callers wait for, and not finished.
const luaCallers = `
local function callers(key)
  local r = redis.call("HMGET", key, "status", "class")
  return (r[1] == "queued" or r[1] == "in_progress") and r[2] == "interactive"
end
`

// joinScript puts a caller on the line.
//
//	KEYS[1] record
//	ARGV    token, how long it stays at most (ms), owner
//	returns 1, or 0 where the job is nobody's on the line: there is none of the owner's, it has ended, or is a batch job
var joinScript = redis.NewScript(luaNow + luaCallers + `
if not callers(KEYS[1]) or redis.call("HGET", KEYS[1], "owner") ~= ARGV[3] then return 0 end
redis.call("HSET", KEYS[1], "w:" .. ARGV[1], str(now() + tonumber(ARGV[2])))
redis.call("HDEL", KEYS[1], "left")
return 1
`)

// keepScript makes a job one that is never dropped.
//
//	KEYS[1] record
//	ARGV    token of the caller that leaves, or ""
//	returns 1, or 0 as joinScript does
var keepScript = redis.NewScript(luaCallers + `
if not callers(KEYS[1]) then return 0 end
redis.call("HDEL", KEYS[1], "w:" .. ARGV[1], "left")
redis.call("HSET", KEYS[1], "keep", "1")
return 1
`)

// leaveScript takes a caller off the line.
//
//	KEYS[1] record
//	ARGV    token
//	returns 1 where nobody is left on the line of a job that is not finished and not kept, else 0
var leaveScript = redis.NewScript(luaNow + luaOnTheLine + `
local r = redis.call("HMGET", KEYS[1], "status", "keep")
redis.call("HDEL", KEYS[1], "w:" .. ARGV[1])
local at = now()
if r[2] or (r[1] ~= "queued" and r[1] ~= "in_progress") or onTheLine(KEYS[1], at) then return 0 end
redis.call("HSET", KEYS[1], "left", str(at))
return 1
`)
