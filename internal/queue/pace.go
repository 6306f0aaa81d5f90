package queue

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
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
	limits       map[string]int    // of the upstreams that it serves
	marks        map[string]string // of the same

	mu    sync.Mutex
	means map[string]mean // by upstream

	// The rest belongs to the goroutine that publishes.
	said     string
	saidAt   time.Time
	tidiedAt time.Time
}

// mean is the mean duration of an upstream's calls lately.
type mean struct {
	of    time.Duration
	calls int // at most paceCalls
}

func (m mean) with(took time.Duration) mean {
	m.calls = min(m.calls+1, paceCalls)
	m.of += (took - m.of) / time.Duration(m.calls)
	return m
}

// word is what one process says of itself.
type word struct {
	slots, limit int
	until        time.Time // in whole milliseconds, by the clock of the process: tens of seconds apart are too much for asynq, too
	all          mean
	upstreams    map[string]pace
}

// pace is what a process says of one upstream.
type pace struct {
	limit int // of calls at once over all workers; 0: none
	mean  mean
	mark  string // tells the upstream from another of the same name
}

// String writes the word: slots, limit, mean (ms), calls and end (unix ms), and for each upstream its name, limit, mean,
// calls and mark, joined by colons, which no name has.
func (w word) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d %d %d %d", w.slots, w.limit, w.all.of.Milliseconds(), w.all.calls, w.until.UnixMilli())
	for _, u := range slices.Sorted(maps.Keys(w.upstreams)) {
		p := w.upstreams[u]
		fmt.Fprintf(&b, " %s:%d:%d:%d:%s", u, p.limit, p.mean.of.Milliseconds(), p.mean.calls, p.mark)
	}
	return b.String()
}

// parseWord reads what a process of another version may have written.
func parseWord(s string) (w word, ok bool) {
	fields := strings.Fields(s)
	if len(fields) < 5 {
		return word{}, false
	}
	n, ok := numbers(fields[:5])
	if !ok {
		return word{}, false
	}
	w = word{slots: int(n[0]), limit: int(n[1]), all: mean{milliseconds(n[2]), int(n[3])}, until: time.UnixMilli(n[4]), upstreams: make(map[string]pace)}
	for _, f := range fields[5:] {
		parts := strings.Split(f, ":")
		if len(parts) < 5 {
			continue
		}
		if n, ok := numbers(parts[1:4]); ok {
			w.upstreams[parts[0]] = pace{limit: int(n[0]), mean: mean{milliseconds(n[1]), int(n[2])}, mark: parts[4]}
		}
	}
	return w, true
}

// numbers reads whole numbers, none of which is negative or beyond reason.
func numbers(fields []string) (all []int64, ok bool) {
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/int64(time.Millisecond)/2 {
			return nil, false
		}
		all = append(all, n)
	}
	return all, true
}

func milliseconds(n int64) time.Duration { return min(time.Duration(n)*time.Millisecond, 24*time.Hour) }

// observe counts a picture's call that ended.
func (p *pacer) observe(upstream string, took time.Duration) {
	if took < leastCall {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.means == nil {
		p.means = make(map[string]mean)
	}
	p.means[upstream] = p.means[upstream].with(took)
	p.means[""] = p.means[""].with(took)
}

// word returns what is to be said; it holds no time.
func (p *pacer) word() word {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := word{slots: p.slots, limit: p.limit, all: p.means[""], upstreams: make(map[string]pace)}
	for u, limit := range p.limits {
		w.upstreams[u] = pace{limit: limit, mean: p.means[u], mark: p.marks[u]}
	}
	return w
}

// publish says how fast this process is, if that is news or was said long ago. What fails is tried again with the next call.
func (p *pacer) publish(ctx context.Context) {
	now := p.word()
	if now.String() == p.said && time.Since(p.saidAt) < paceRenewal {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()
	said := now.String()
	now.until = time.Now().Add(paceLife)
	if p.client.HSet(ctx, paceKey, p.self, now.String()).Err() != nil {
		return
	}
	p.said, p.saidAt = said, time.Now()
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
		if x, ok := parseWord(word); !ok || time.Since(x.until) > paceLife {
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

// pacesOf joins the words of all processes.
func pacesOf(words map[string]string, now time.Time) job.Paces {
	var all joined
	upstreams := make(map[string]*joined)
	for _, text := range words {
		w, ok := parseWord(text)
		if !ok || now.After(w.until) {
			continue
		}
		all.add(w.slots, w.limit, w.all)
		for u, p := range w.upstreams {
			if upstreams[u] == nil {
				upstreams[u] = &joined{}
			}
			upstreams[u].add(w.slots, w.limit, p.mean)
			upstreams[u].bound(p.limit)
		}
	}
	paces := job.Paces{All: all.pace(), Of: make(map[string]job.Pace, len(upstreams))}
	for u, j := range upstreams {
		paces.Of[u] = j.pace()
	}
	return paces
}

// joined is what several processes say: their slots, cut to the least of their limits, and the mean of their calls.
type joined struct {
	slots, limit, calls int
	total               time.Duration
}

func (j *joined) add(slots, limit int, m mean) {
	j.slots += slots
	j.bound(limit)
	calls := min(m.calls, paceCalls)
	j.calls += calls
	j.total += m.of * time.Duration(calls)
}

func (j *joined) bound(limit int) {
	if limit > 0 && (j.limit == 0 || limit < j.limit) {
		j.limit = limit
	}
}

func (j *joined) pace() job.Pace {
	p := job.Pace{Slots: j.slots}
	if j.limit > 0 {
		p.Slots = min(p.Slots, j.limit)
	}
	if j.calls > 0 {
		p.Call = j.total / time.Duration(j.calls)
	}
	return p
}

// Served tells which upstreams some worker serves at the moment.
type Served struct {
	Upstreams []string // in the order of their names; none: no worker says anything
	Disputed  []string // those of them that are not the same upstream for every worker
}

// Served asks what workers say of themselves.
func (c *Client) Served(ctx context.Context) (Served, error) {
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()
	words, err := c.redis.HGetAll(ctx, paceKey).Result()
	if err != nil {
		return Served{}, fmt.Errorf("read what workers serve: %w", err)
	}
	return servedOf(words, time.Now()), nil
}

// ServedNames returns the upstreams that some worker serves; none where no worker says anything.
func (c *Client) ServedNames(ctx context.Context) ([]string, error) {
	s, err := c.Served(ctx)
	return s.Upstreams, err
}

func servedOf(words map[string]string, now time.Time) (s Served) {
	marks := make(map[string]string)
	for _, text := range words {
		w, ok := parseWord(text)
		if !ok || now.After(w.until) {
			continue
		}
		for u, p := range w.upstreams {
			if mark, seen := marks[u]; seen && mark != p.mark && !slices.Contains(s.Disputed, u) {
				s.Disputed = append(s.Disputed, u)
			}
			marks[u] = p.mark
		}
	}
	s.Upstreams = slices.Sorted(maps.Keys(marks))
	slices.Sort(s.Disputed)
	return s
}
