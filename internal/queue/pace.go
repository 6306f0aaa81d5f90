package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

const (
	// paceLife is how long a process' word on its pace is good; it is said again every paceRenewal.
	paceLife    = 60 * time.Second
	paceRenewal = 20 * time.Second
	// paceTidy is how often a process removes what dead ones left behind.
	paceTidy = 10 * time.Minute
	// paceTimeout bounds a round trip for it.
	paceTimeout = 3 * time.Second
	// paceCalls is how many calls make up the mean: after so many each new one counts for one part in paceCalls.
	paceCalls = 20
	// leastCall is the shortest that a handler takes when it makes a call. One that finds nothing to do takes a few
	// milliseconds, and an upstream needs longer for a picture.
	leastCall = 20 * time.Millisecond
)

// pacer measures how fast this process draws, and tells the others.
type pacer struct {
	client       redis.UniversalClient
	self         string // names this process in Redis
	slots, limit int

	mu    sync.Mutex
	mean  time.Duration
	calls int // at most paceCalls

	// The rest belongs to the goroutine that publishes.
	said     pace
	saidAt   time.Time
	tidiedAt time.Time
}

// pace is one process' word on itself.
type pace struct {
	slots, limit int
	mean         time.Duration // in whole milliseconds
	calls        int
	until        time.Time // in whole milliseconds, by the clock of the process: tens of seconds apart are too much for asynq, too
}

func (p pace) String() string {
	return fmt.Sprintf("%d %d %d %d %d", p.slots, p.limit, p.mean.Milliseconds(), p.calls, p.until.UnixMilli())
}

// parsePace reads what a process of another version may have written.
func parsePace(s string) (p pace, ok bool) {
	var mean, until int64
	if n, err := fmt.Sscanf(s, "%d %d %d %d %d", &p.slots, &p.limit, &mean, &p.calls, &until); err != nil || n != 5 {
		return pace{}, false
	}
	if p.slots < 0 || p.limit < 0 || p.calls < 0 || mean < 0 || mean > (24*time.Hour).Milliseconds() {
		return pace{}, false
	}
	p.mean, p.until = time.Duration(mean)*time.Millisecond, time.UnixMilli(until)
	return p, true
}

// observe counts a picture's handler that ended.
func (p *pacer) observe(took time.Duration) {
	if took < leastCall {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = min(p.calls+1, paceCalls)
	p.mean += (took - p.mean) / time.Duration(p.calls)
}

// publish says how fast this process is, if that is news or was said long ago. What fails is tried again with the next call.
func (p *pacer) publish(ctx context.Context) {
	p.mu.Lock()
	now := pace{slots: p.slots, limit: p.limit, mean: p.mean.Truncate(time.Millisecond), calls: p.calls}
	p.mu.Unlock()
	if now == p.said && time.Since(p.saidAt) < paceRenewal {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()
	word := now
	word.until = time.Now().Add(paceLife)
	if p.client.HSet(ctx, paceKey, p.self, word.String()).Err() != nil {
		return
	}
	p.said, p.saidAt = now, time.Now()
	if time.Since(p.tidiedAt) > paceTidy && p.tidy(ctx) == nil {
		p.tidiedAt = time.Now()
	}
}

// tidy removes what processes said that are gone.
func (p *pacer) tidy(ctx context.Context) error {
	words, err := p.client.HGetAll(ctx, paceKey).Result()
	if err != nil {
		return fmt.Errorf("read the pace of all workers: %w", err)
	}
	var stale []string
	for self, word := range words {
		if x, ok := parsePace(word); !ok || time.Since(x.until) > paceLife {
			stale = append(stale, self)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	if err := p.client.HDel(ctx, paceKey, stale...).Err(); err != nil {
		return fmt.Errorf("forget the pace of workers that are gone: %w", err)
	}
	return nil
}

// forget takes this process' word back.
func (p *pacer) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()
	_ = p.client.HDel(ctx, paceKey, p.self).Err() // it runs out by itself
}

// paceOf joins the words of all processes: their slots, cut to the least of their limits, and the mean of their calls.
func paceOf(words map[string]string, now time.Time) job.Pace {
	var slots, limit, calls int
	var total time.Duration
	for _, word := range words {
		p, ok := parsePace(word)
		if !ok || now.After(p.until) {
			continue
		}
		slots += p.slots
		if p.limit > 0 && (limit == 0 || p.limit < limit) {
			limit = p.limit
		}
		calls += min(p.calls, paceCalls)
		total += p.mean * time.Duration(min(p.calls, paceCalls))
	}
	if limit > 0 {
		slots = min(slots, limit)
	}
	pace := job.Pace{Slots: slots}
	if calls > 0 {
		pace.Call = total / time.Duration(calls)
	}
	return pace
}
