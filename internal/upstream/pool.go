package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// reportTimeout bounds a round trip for the state.
const reportTimeout = 3 * time.Second

// Provider draws at one upstream with one key. Its errors are *imagegen.CallError.
type Provider interface {
	Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error)
	CloseIdleConnections()
}

// Key is one API key of an upstream.
type Key struct {
	// Digest tells it from the others: see [DigestOf].
	Digest   string
	Provider Provider
}

// DigestOf returns a name for a key that tells it from other keys and tells nothing of it.
func DigestOf(apiKey string) string {
	sum := sha256.Sum256([]byte("zimage upstream key " + apiKey))
	return hex.EncodeToString(sum[:4])
}

// Rules say when an upstream is spared calls.
type Rules struct {
	Threshold int           // failures in a row
	Cooldown  time.Duration // first pause; it doubles up to a minute
}

// Metrics is told what happens to upstreams. Keys are numbered from 1 in the order of the configuration.
type Metrics interface {
	UpstreamPaused(upstream string, paused bool)
	KeyRests(upstream string, key int, rests bool)
	Points(upstream string, key int, used, left *float64)
}

// Config is what a [Pool] needs.
type Config struct {
	Name  string
	Keys  []Key // at least one
	Rules Rules
	Redis redis.UniversalClient // closed by the caller
	// Resume wakes workers that wait for the upstream, to look at it again.
	Resume  func(ctx context.Context, upstream string) error
	Metrics Metrics
	Log     *slog.Logger
}

// Pool is one upstream with its keys. It is safe for concurrent use.
type Pool struct {
	Config

	mu    sync.Mutex
	state state
	used  []time.Time        // by key: when it was last chosen
	turns map[*Turn]struct{} // under way
	calls []int              // by key: how many of them

	renewal time.Duration // between two words that a probe is under way
}

// NewPool returns a pool of the keys.
func NewPool(c Config) *Pool {
	c.Log = c.Log.With(slog.String("upstream", c.Name))
	return &Pool{Config: c, used: make([]time.Time, len(c.Keys)), calls: make([]int, len(c.Keys)), turns: make(map[*Turn]struct{}), renewal: probeRenewal}
}

// CloseIdleConnections closes the connections that no call is using.
func (p *Pool) CloseIdleConnections() {
	for _, k := range p.Keys {
		k.Provider.CloseIdleConnections()
	}
}

// see takes in what Redis says.
func (p *Pool) see(s state) {
	p.mu.Lock()
	before := p.state
	p.state = s
	p.mu.Unlock()
	if before.until.IsZero() != s.until.IsZero() {
		p.Metrics.UpstreamPaused(p.Name, !s.until.IsZero())
	}
	for i, k := range p.Keys {
		_, rested := before.rests[k.Digest]
		if _, rests := s.rests[k.Digest]; rests != rested {
			p.Metrics.KeyRests(p.Name, i+1, rests)
		}
	}
}

// PausedUntil returns until when the upstream is spared calls, which may be in the past while it is tried again; zero where
// it is not.
func (p *Pool) PausedUntil() time.Time { return p.now().until }

func (p *Pool) now() state {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Turn is the right to one call with one of the keys.
type Turn struct {
	pool  *Pool
	key   int
	probe string
	began time.Time
}

// Turn chooses a key: one whose rest is over before the others, so that it comes back, then the one with the fewest calls
// under way. ok is false while all of them rest. probe names the call that tries an upstream again; empty: it is none.
// The caller ends the turn.
func (p *Pool) Turn(ctx context.Context, probe string) (t *Turn, ok bool) {
	for _, i := range p.rested() {
		claiming, cancel := context.WithTimeout(ctx, reportTimeout)
		n, err := claimKeyScript.Run(claiming, p.Redis, []string{stateKey(p.Name)},
			p.Keys[i].Digest, keyRest.Milliseconds(), stateTTL.Milliseconds()).Int()
		cancel()
		if err == nil && n == 1 {
			return p.choose(i, probe), true
		}
	}
	if i := p.leastUsed(); i >= 0 {
		return p.choose(i, probe), true
	}
	return nil, false
}

// rested returns the keys whose rest is over, and that nobody has tried since.
func (p *Pool) rested() (keys []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, k := range p.Keys {
		if until, rests := p.state.rests[k.Digest]; rests && !time.Now().Before(until) {
			keys = append(keys, i)
		}
	}
	return keys
}

// leastUsed returns the key, of those that do not rest, that has the fewest calls under way and was chosen longest ago; -1
// where all rest.
func (p *Pool) leastUsed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, k := range p.Keys {
		if _, rests := p.state.rests[k.Digest]; rests {
			continue
		}
		if best < 0 || p.calls[i] < p.calls[best] || p.calls[i] == p.calls[best] && p.used[i].Before(p.used[best]) {
			best = i
		}
	}
	return best
}

func (p *Pool) choose(i int, probe string) *Turn {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &Turn{pool: p, key: i, probe: probe, began: time.Now()}
	p.used[i] = t.began
	p.turns[t] = struct{}{}
	p.calls[i]++
	return t
}

// End gives the turn back. It may be called more than once.
func (t *Turn) End() {
	p := t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.turns[t]; !ok {
		return
	}
	delete(p.turns, t)
	p.calls[t.key]--
}

// later reports whether another call is under way that was sent since the first of the failures in a row.
func (t *Turn) later() bool {
	p := t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for other := range p.turns {
		if other != t && !p.state.since.IsZero() && other.began.After(p.state.since) {
			return true
		}
	}
	return false
}

// Generate makes the call, and tells the others what is learnt of the upstream and the key before it returns.
func (t *Turn) Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error) {
	p := t.pool
	stop := t.keepProbe(ctx)
	d, err := p.Keys[t.key].Provider.Generate(ctx, o)
	stop()
	t.report(ctx, o, err)
	if err == nil && (d.PointsUsed != nil || d.PointsLeft != nil) {
		p.Metrics.Points(p.Name, t.key+1, d.PointsUsed, d.PointsLeft)
	}
	return d, err
}

// keepProbe says that the probe is under way, if the call is one, until stop is called.
func (t *Turn) keepProbe(ctx context.Context) (stop func()) {
	if t.probe == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(t.pool.renewal)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				t.renewProbe(ctx)
			}
		}
	})
	return func() {
		cancel()
		renewing.Wait()
	}
}

func (t *Turn) renewProbe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	// One renewal that fails is made up for by the next.
	_ = renewProbeScript.Run(ctx, t.pool.Redis, []string{stateKey(t.pool.Name)}, t.probe, probeLease.Milliseconds(), stateTTL.Milliseconds()).Err()
}

// lesson is what a call's end says of the upstream and of the key.
type lesson struct {
	upstream, key string
	pause         time.Duration // that the upstream asked for
}

func lessonOf(err error) lesson {
	e, ok := errors.AsType[*imagegen.CallError](err)
	switch {
	case err == nil:
		return lesson{upstream: "alive", key: "good"}
	case !ok, e.Outcome == imagegen.OutcomeCancelled, e.NotUpstream:
		return lesson{upstream: "nothing", key: "nothing"}
	case e.Doubtful:
		return lesson{upstream: "alive", key: "doubtful"}
	case e.Outcome == imagegen.OutcomeAuth, e.Outcome == imagegen.OutcomeQuota:
		return lesson{upstream: "alive", key: "refused"}
	case e.Transient:
		return lesson{upstream: "failed", key: "failed", pause: e.RetryAfter}
	}
	return lesson{upstream: "alive", key: "good"} // it answered, if only to refuse
}

// report writes what was learnt. Nothing is written while all is well.
func (t *Turn) report(ctx context.Context, o imagegen.Order, err error) {
	p, key := t.pool, t.pool.Keys[t.key].Digest
	l := lessonOf(err)
	if (l.upstream == "alive" && l.key == "good" && t.probe == "" && p.now().well(key)) || (l.upstream == "nothing" && t.probe == "") {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	reply, failure := reportScript.Run(ctx, p.Redis, []string{stateKey(p.Name)}, l.upstream, t.probe, p.Rules.Threshold,
		p.Rules.Cooldown.Milliseconds(), longestPause.Milliseconds(), l.pause.Milliseconds(), key, l.key, keyRest.Milliseconds(),
		len(p.Keys), stateTTL.Milliseconds(), time.Since(t.began).Milliseconds(), t.later(), orderDigest(o)).Int64Slice()
	if failure == nil && len(reply) != 4 {
		failure = fmt.Errorf("%d numbers in place of 4", len(reply))
	}
	if failure != nil {
		p.Log.WarnContext(ctx, "how an upstream does could not be noted", slog.Any("error", failure))
		return
	}
	t.learn(ctx, l, int(reply[0]), time.Duration(reply[1])*time.Millisecond, reply[2] == 1, reply[3] == 1)
}

// orderDigest tells orders of different words apart, and tells nothing of them.
func orderDigest(o imagegen.Order) string {
	h := sha256.New()
	words := []string{o.Prompt, o.Source}
	if o.NegativePrompt != nil {
		words = append(words, *o.NegativePrompt)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Extra)) {
		words = append(words, name, string(o.Extra[name]))
	}
	for _, w := range words {
		_, _ = fmt.Fprintf(h, "%d %s", len(w), w) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// learn takes in what the report made of the state, and tells operators and waiting workers.
func (t *Turn) learn(ctx context.Context, l lesson, failures int, pause time.Duration, resumed, rests bool) {
	p, key := t.pool, t.pool.Keys[t.key].Digest
	s := p.now().with(key, l, failures, pause, resumed, rests)
	p.see(s)
	switch {
	case pause > 0:
		p.Log.WarnContext(ctx, "upstream fails: it is spared calls", slog.Int("failures", failures), slog.Duration("pause", pause))
	case resumed:
		p.Log.InfoContext(ctx, "upstream is back")
	}
	if rests {
		p.Log.ErrorContext(ctx, "upstream key rests", slog.Int("key", t.key+1), slog.Int("keys", len(p.Keys)), slog.Duration("rest", keyRest))
	}
	// Workers that wait look again: for an upstream that is back, or before they rely on one that began to fail.
	if resumed || pause > 0 || failures == 1 && l.upstream == "failed" {
		if err := p.Resume(ctx, p.Name); err != nil {
			p.Log.WarnContext(ctx, "workers were not woken; they look within seconds", slog.Any("error", err))
		}
	}
}

// with returns the state as a report left it.
func (s state) with(key string, l lesson, failures int, pause time.Duration, resumed, rests bool) state {
	s.failures = failures
	switch {
	case failures == 0:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = time.Now()
	}
	s.rests, s.failing = maps.Clone(s.rests), maps.Clone(s.failing)
	switch {
	case resumed:
		s.until = time.Time{}
	case pause > 0:
		s.until, s.failing = time.Now().Add(pause), nil
	}
	switch {
	case rests:
		if s.rests == nil {
			s.rests = make(map[string]time.Time)
		}
		s.rests[key] = time.Now().Add(keyRest)
	case l.key == "good":
		delete(s.rests, key)
		delete(s.failing, key)
	case l.key == "failed", l.key == "doubtful":
		if s.failing == nil {
			s.failing = make(map[string]bool)
		}
		s.failing[key] = true
	}
	return s
}
