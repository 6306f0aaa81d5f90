package queue

import (
	"context"
	"crypto/rand"
	"fmt"
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

// acquireScript takes a slot, or leaves a mark that one is wanted. Taking a slot again renews it.
//
//	KEYS[1] slots, KEYS[2] wanted
//	ARGV    member, limit, lease (ms), life of the mark (ms)
//	returns 1 or 0
var acquireScript = redis.NewScript(`
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", string.format("%.0f", now))
if not redis.call("ZSCORE", KEYS[1], ARGV[1]) and redis.call("ZCARD", KEYS[1]) >= tonumber(ARGV[2]) then
  redis.call("SET", KEYS[2], "1", "PX", ARGV[4])
  return 0
end
redis.call("ZADD", KEYS[1], string.format("%.0f", now + tonumber(ARGV[3])), ARGV[1])
return 1
`)

// releaseScript frees a slot and, where one is wanted, wakes one worker for it.
//
//	KEYS[1] slots, KEYS[2] wanted, KEYS[3] wake list
//	ARGV    member, token, cap of the wake list
//	returns 1 where a worker was woken, else 0
var releaseScript = redis.NewScript(`
redis.call("ZREM", KEYS[1], ARGV[1])
if redis.call("EXISTS", KEYS[2]) == 0 then return 0 end
redis.call("LPUSH", KEYS[3], ARGV[2])
redis.call("LTRIM", KEYS[3], 0, tonumber(ARGV[3]) - 1)
return 1
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

// slots hands out this process' slots of one kind and, where there is a limit over all workers, one of those with each.
type slots struct {
	client redis.UniversalClient
	limit  int           // over all workers; 0: none
	self   string        // names this process in Redis
	token  string        // wakes a worker for a slot that came free
	free   chan int      // numbers of the local slots not in use
	freed  chan struct{} // buffer of one: a local slot came free
	wanted atomic.Bool   // the next local slot that comes free is to be told by a token

	mu   sync.Mutex
	held map[int]struct{} // numbers whose slot in Redis is ours
}

func newSlots(client redis.UniversalClient, local, limit int, token string) *slots {
	s := &slots{
		client: client, limit: limit, self: rand.Text(), token: token,
		free: make(chan int, local), freed: make(chan struct{}, 1), held: make(map[int]struct{}),
	}
	for n := range local {
		s.free <- n
	}
	return s
}

// slot is the right to one call.
type slot struct {
	s    *slots
	n    int
	once sync.Once
}

// size returns the number of local slots, idle whether one is free.
func (s *slots) size() int  { return cap(s.free) }
func (s *slots) idle() bool { return len(s.free) > 0 }

// acquire takes a slot; nil where none is free, here or over all workers.
func (s *slots) acquire(ctx context.Context) (*slot, error) {
	var n int
	select {
	case n = <-s.free:
	default:
		return nil, nil
	}
	if s.limit > 0 {
		ctx, cancel := context.WithTimeout(ctx, slotTimeout)
		defer cancel()
		got, err := acquireScript.Run(ctx, s.client, []string{slotsKey, wantedKey},
			s.member(n), s.limit, slotLease.Milliseconds(), wantedTTL.Milliseconds()).Int()
		if err != nil || got != 1 {
			s.free <- n // a slot that was granted unheard is freed by reconcile
			if err != nil {
				return nil, fmt.Errorf("take a slot: %w", err)
			}
			return nil, nil
		}
		s.mu.Lock()
		s.held[n] = struct{}{}
		s.mu.Unlock()
	}
	return &slot{s: s, n: n}, nil
}

func (s *slots) member(n int) string { return s.self + ":" + strconv.Itoa(n) }

// release gives the slot back, once. Where Redis does not hear of it, reconcile or the end of the lease does it.
func (x *slot) release(ctx context.Context) {
	if x == nil {
		return
	}
	x.once.Do(func() {
		s := x.s
		if s.limit > 0 {
			s.mu.Lock()
			delete(s.held, x.n)
			s.mu.Unlock()
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), slotTimeout)
			defer cancel()
			_ = releaseScript.Run(ctx, s.client, []string{slotsKey, wantedKey, wakeKey},
				s.member(x.n), s.token, wakeCap).Err()
		}
		s.free <- x.n
		select {
		case s.freed <- struct{}{}:
		default:
		}
		if s.wanted.Swap(false) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), slotTimeout)
			defer cancel()
			_ = wake(ctx, s.client, s.token)
		}
	})
}

// reconcile frees what Redis still counts as this process' although it is not held: slots that were granted or given
// back while no reply came through. Only the goroutine that acquires may call it.
func (s *slots) reconcile(ctx context.Context) error {
	if s.limit <= 0 {
		return nil
	}
	var stale []any
	s.mu.Lock()
	for n := range cap(s.free) {
		if _, ok := s.held[n]; !ok {
			stale = append(stale, s.member(n))
		}
	}
	s.mu.Unlock()
	if len(stale) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	if err := s.client.ZRem(ctx, slotsKey, stale...).Err(); err != nil {
		return fmt.Errorf("free unheld slots: %w", err)
	}
	return nil
}

// renew keeps the slots that are held in Redis.
func (s *slots) renew(ctx context.Context) {
	args := []any{slotLease.Milliseconds()}
	s.mu.Lock()
	for n := range s.held {
		args = append(args, s.member(n))
	}
	s.mu.Unlock()
	if len(args) == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	// A renewal that fails is followed by the next one; the lease has room for many.
	_ = renewSlotsScript.Run(ctx, s.client, []string{slotsKey}, args...).Err()
}
