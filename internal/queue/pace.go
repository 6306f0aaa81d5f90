package queue

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

const (
	// paceTTL is how long a worker's word counts: a dead one's is forgotten then. paceRefresh is how often an idle one
	// renews it; a busy one does with every renewal of its slots.
	paceTTL     = time.Minute
	paceRefresh = 20 * time.Second
	// paceMemory is how many calls the mean remembers, more or less.
	paceMemory = 20
	// leastCall is the shortest time that counts as a call: a task that finds nothing to do ends sooner.
	leastCall = 50 * time.Millisecond
)

// publishScript keeps a worker's word and drops those that count no more.
//
//	KEYS[1] pace
//	ARGV    process, "<slots> <limit> <mean ms> <weight>", how long it counts (ms)
//	returns 1
var publishScript = redis.NewScript(`
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local all = redis.call("HGETALL", KEYS[1])
for i = 1, #all, 2 do
  local ends = tonumber(string.match(all[i + 1], "(%d+)$"))
  if not ends or ends < now then redis.call("HDEL", KEYS[1], all[i]) end
end
redis.call("HSET", KEYS[1], ARGV[1], ARGV[2] .. " " .. string.format("%.0f", now + tonumber(ARGV[3])))
return 1
`)

// pacer tells all processes how many slots this one has and how long its calls take.
type pacer struct {
	client       redis.UniversalClient
	self         string
	slots, limit int

	mu        sync.Mutex
	mean      time.Duration
	calls     int
	published int       // calls when it was told last
	at        time.Time // when; zero: never
}

// ended notes that a task's handler took d.
func (p *pacer) ended(d time.Duration) {
	if d < leastCall {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	p.mean += (d - p.mean) / time.Duration(min(p.calls, paceMemory))
}

// tell publishes what is new, or too long ago.
func (p *pacer) tell(ctx context.Context) {
	p.mu.Lock()
	word := fmt.Sprintf("%d %d %d %d", p.slots, p.limit, p.mean.Milliseconds(), min(p.calls, paceMemory))
	fresh := p.calls == p.published && time.Since(p.at) < paceRefresh
	calls := p.calls
	p.mu.Unlock()
	if fresh {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	// If it fails, the next time is soon enough: the last word counts for a while.
	if publishScript.Run(ctx, p.client, []string{paceKey}, p.self, word, paceTTL.Milliseconds()).Err() != nil {
		return
	}
	p.mu.Lock()
	p.published, p.at = calls, time.Now()
	p.mu.Unlock()
}

// withdraw takes the process' word back.
func (p *pacer) withdraw(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	_ = p.client.HDel(ctx, paceKey, p.self).Err() // it is forgotten soon in any case
}

// readPace adds up what the workers say. now is Redis' clock.
func readPace(words map[string]string, now time.Time) job.Pace {
	var (
		pace          job.Pace
		limit, weight int64
		total         time.Duration
	)
	for _, word := range words {
		var n [5]int64
		fields := strings.Fields(word)
		if len(fields) != len(n) {
			continue // another version's
		}
		for i, f := range fields {
			n[i], _ = strconv.ParseInt(f, 10, 64) // the publisher's own
		}
		if n[4] < now.UnixMilli() {
			continue
		}
		pace.Slots += int(n[0])
		if n[1] > 0 && (limit == 0 || n[1] < limit) {
			limit = n[1]
		}
		total += time.Duration(n[2]*n[3]) * time.Millisecond
		weight += n[3]
	}
	if limit > 0 {
		pace.Slots = min(pace.Slots, int(limit))
	}
	if weight > 0 {
		pace.Call = total / time.Duration(weight)
	}
	return pace
}
