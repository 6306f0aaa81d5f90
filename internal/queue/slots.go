package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// slotLease is how long a dead worker's slots stay taken. It outlasts a stall of Redis of 45 s between two renewals.
	slotLease   = 55 * time.Second
	slotRenewal = 3 * time.Second
	// wantedTTL is how long a refusal makes whoever frees a slot push a token. A refused worker looks again within
	// idleWait, which is shorter, so that the mark lasts as long as anybody is refused.
	wantedTTL = 2 * idleWait
	// slotTimeout bounds one round trip for slots.
	slotTimeout = 3 * time.Second
)

// acquireScript takes a slot over all upstreams and one of an upstream, or leaves a mark that one is wanted. Taking a slot
// again renews it.
//
//	KEYS[1] slots, KEYS[2] wanted, KEYS[3] slots of the upstream, KEYS[4] wanted of the upstream
//	ARGV    member, limit (0: none), limit of the upstream (0: none), lease (ms), life of the mark (ms)
//	returns 1; 0 where none is free over all upstreams; -1 where the upstream has none
var acquireScript = redis.NewScript(`
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function full(slots, limit)
  if limit == 0 then return false end
  redis.call("ZREMRANGEBYSCORE", slots, "-inf", string.format("%.0f", now))
  return not redis.call("ZSCORE", slots, ARGV[1]) and redis.call("ZCARD", slots) >= limit
end
local all, own = tonumber(ARGV[2]), tonumber(ARGV[3])
if full(KEYS[1], all) then
  redis.call("SET", KEYS[2], "1", "PX", ARGV[5])
  return 0
end
if full(KEYS[3], own) then
  redis.call("SET", KEYS[4], "1", "PX", ARGV[5])
  return -1
end
local ends = string.format("%.0f", now + tonumber(ARGV[4]))
if all > 0 then redis.call("ZADD", KEYS[1], ends, ARGV[1]) end
if own > 0 then redis.call("ZADD", KEYS[3], ends, ARGV[1]) end
return 1
`)

// releaseScript frees a slot and, where one is wanted, wakes one worker for it.
//
//	KEYS[1] slots, KEYS[2] wanted, KEYS[3] wake list, KEYS[4] to KEYS[6] the same of the upstream
//	ARGV    member, token, cap of a wake list
//	returns how many workers were woken
var releaseScript = redis.NewScript(`
local woken = 0
for i = 1, 4, 3 do
  redis.call("ZREM", KEYS[i], ARGV[1])
  if redis.call("EXISTS", KEYS[i + 1]) == 1 then
    redis.call("LPUSH", KEYS[i + 2], ARGV[2])
    redis.call("LTRIM", KEYS[i + 2], 0, tonumber(ARGV[3]) - 1)
    woken = woken + 1
  end
end
return woken
`)

// renewSlotsScript keeps slots that are still there: one that is being freed meanwhile must not come back.
//
//	KEYS[1] slots
//	ARGV    lease (ms), members
//	returns 1
var renewSlotsScript = redis.NewScript(`
local t = redis.call("TIME")
local ends = string.format("%.0f", t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1]))
for i = 2, #ARGV do redis.call("ZADD", KEYS[1], "XX", ends, ARGV[i]) end
return 1
`)

// limits are those of upstream calls over all workers. 0 is none.
type limits struct {
	all       int            // of all upstreams together
	upstreams map[string]int // by name
}

// slots hands out this process' slots of one kind and, where there are limits over all workers, one of those with each.
type slots struct {
	client redis.UniversalClient
	limits limits
	self   string        // names this process in Redis
	free   chan int      // numbers of the local slots not in use
	freed  chan struct{} // buffer of one: a local slot came free
	// list is where the next local slot that comes free is to be told by a token, if somebody wants that.
	list   string
	wanted atomic.Bool

	mu   sync.Mutex
	held map[int]call // by number: the call of each slot in use
	// refused says until when an upstream is not worth asking for: it had no slot, and none was given back here since.
	refused map[string]time.Time
}

func newSlots(client redis.UniversalClient, local int, l limits, list string) *slots {
	s := &slots{
		client: client, limits: l, self: rand.Text(), list: list,
		free: make(chan int, local), freed: make(chan struct{}, 1),
		held: make(map[int]call), refused: make(map[string]time.Time),
	}
	for n := range local {
		s.free <- n
	}
	return s
}

// call is what a slot is in use for.
type call struct {
	upstream string
	began    time.Time
}

// slot is the right to one call.
type slot struct {
	s        *slots
	n        int
	upstream string
	shared   bool // it is counted over all workers
	diverted bool // its task makes no call: it is to go to another upstream
	spared   bool // its upstream gets few calls: others may wait for the end of this one
	once     sync.Once
	// probe names the call where it is the one that tries an upstream; giveBack is called with it once the slot is free.
	probe    string
	giveBack func(ctx context.Context, upstream, probe string)
}

// size returns the number of local slots, left how many of them are free, idle whether one is.
func (s *slots) size() int  { return cap(s.free) }
func (s *slots) left() int  { return len(s.free) }
func (s *slots) idle() bool { return len(s.free) > 0 }

// open reports whether an upstream may have a slot free, as far as this process knows.
func (s *slots) open(upstream string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().After(s.refused[upstream])
}

// retry forgets that an upstream had no slot; empty: that any had none.
func (s *slots) retry(upstream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if upstream == "" {
		clear(s.refused)
	}
	delete(s.refused, upstream)
}

// refuse notes that an upstream has no slot free; empty: that none has.
func (s *slots) refuse(upstream string, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := time.Now().Add(slotWait - slotWait/20) // over when the next look comes
	s.refused[upstream] = until
	if all {
		for u := range s.limits.upstreams {
			s.refused[u] = until
		}
	}
}

// running returns how many calls to an upstream this process has under way that began after a time.
func (s *slots) running(upstream string, since time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.held {
		if c.upstream == upstream && c.began.After(since) {
			n++
		}
	}
	return n
}

// local takes a slot of this process alone, for a task that makes no call; nil where none is free.
func (s *slots) local() *slot {
	select {
	case n := <-s.free:
		return &slot{s: s, n: n}
	default:
		return nil
	}
}

// acquire takes a slot for a call to an upstream; nil where none is free, here or over all workers, or no call is allowed.
func (s *slots) acquire(ctx context.Context, upstream string, allowed Allowance) (*slot, error) {
	if allowed.Most == 0 {
		return nil, nil
	}
	x := s.local()
	if x == nil {
		return nil, nil
	}
	x.upstream = upstream
	if allowed.Most > 0 && s.running(upstream, allowed.Since) >= allowed.Most {
		s.refuse(upstream, false)
		s.free <- x.n
		return nil, nil
	}
	x.spared = allowed.Most > 0
	own := s.limits.upstreams[upstream]
	if x.shared = s.limits.all > 0 || own > 0; x.shared {
		ctx, cancel := context.WithTimeout(ctx, slotTimeout)
		defer cancel()
		got, err := acquireScript.Run(ctx, s.client,
			[]string{slotsKey, wantedKey, slotsOfKey(upstream), wantedOfKey(upstream)},
			s.member(x.n), s.limits.all, own, slotLease.Milliseconds(), wantedTTL.Milliseconds()).Int()
		if err != nil || got != 1 {
			s.free <- x.n // a slot that was granted unheard is freed by reconcile
			if err != nil {
				return nil, fmt.Errorf("take a slot: %w", err)
			}
			s.refuse(upstream, got == 0)
			return nil, nil
		}
	}
	s.mu.Lock()
	s.held[x.n] = call{upstream, time.Now()}
	s.mu.Unlock()
	return x, nil
}

func (s *slots) member(n int) string { return s.self + ":" + strconv.Itoa(n) }

// release gives the slot back, once. Where Redis does not hear of it, reconcile or the end of the lease does it.
func (x *slot) release(ctx context.Context) {
	if x == nil {
		return
	}
	x.once.Do(func() {
		s := x.s
		s.mu.Lock()
		delete(s.held, x.n)
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), slotTimeout)
		defer cancel()
		if x.shared {
			_ = releaseScript.Run(ctx, s.client, []string{
				slotsKey, wantedKey, wakeKey, slotsOfKey(x.upstream), wantedOfKey(x.upstream), wakeOfKey(x.upstream),
			}, s.member(x.n), slotToken, wakeCap).Err()
		}
		if x.probe != "" {
			x.giveBack(ctx, x.upstream, x.probe)
		}
		if s.limits.all > 0 {
			s.retry("")
		}
		if x.upstream != "" { // it made a call
			s.retry(x.upstream)
		}
		s.free <- x.n
		select {
		case s.freed <- struct{}{}:
		default:
		}
		if s.wanted.Swap(false) {
			_ = wake(ctx, s.client, s.list, slotToken)
		}
		if x.spared {
			_ = wake(ctx, s.client, wakeOfKey(x.upstream), slotToken) // else a worker looks in a few seconds
		}
	})
}

// sharedSets calls f with each set in which slots are counted over all workers, and the numbers of the local slots that
// are held there, or are not.
func (s *slots) sharedSets(held bool, f func(key string, members []any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	visit := func(key string, counts func(upstream string) bool) {
		var members []any
		for n := range cap(s.free) {
			if c, ok := s.held[n]; (ok && counts(c.upstream)) == held {
				members = append(members, s.member(n))
			}
		}
		if len(members) > 0 {
			f(key, members)
		}
	}
	if s.limits.all > 0 {
		visit(slotsKey, func(string) bool { return true })
	}
	for _, u := range slices.Sorted(maps.Keys(s.limits.upstreams)) {
		if s.limits.upstreams[u] > 0 {
			visit(slotsOfKey(u), func(of string) bool { return of == u })
		}
	}
}

// reconcile frees what Redis still counts as this process' although it is not held: slots that were granted or given
// back while no reply came through. Only the goroutine that acquires may call it.
func (s *slots) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	pipe := s.client.Pipeline()
	s.sharedSets(false, func(key string, members []any) { pipe.ZRem(ctx, key, members...) })
	if pipe.Len() == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("free unheld slots: %w", err)
	}
	return nil
}

// renew keeps the slots that are held in Redis.
func (s *slots) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	args := make(map[string][]any)
	s.sharedSets(true, func(key string, members []any) { args[key] = append([]any{slotLease.Milliseconds()}, members...) })
	// A renewal that fails is followed by the next one; the lease has room for many.
	for key, a := range args {
		_ = renewSlotsScript.Run(ctx, s.client, []string{key}, a...).Err()
	}
}
