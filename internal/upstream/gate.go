package upstream

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/queue"
)

// Gate holds back the calls to upstreams that fail, for the queue's server. It is used by one goroutine.
type Gate struct {
	pools map[string]*Pool
}

// NewGate returns a gate before the pools.
func NewGate(pools ...*Pool) *Gate {
	g := &Gate{pools: make(map[string]*Pool, len(pools))}
	for _, p := range pools {
		g.pools[p.Name] = p
	}
	return g
}

// Load adds the question how the upstreams do to a pipeline; read takes the answer once that was sent.
func (g *Gate) Load(ctx context.Context, pipe redis.Pipeliner) (read func()) {
	clock := pipe.Time(ctx)
	replies := make(map[*Pool]*redis.MapStringStringCmd, len(g.pools))
	for _, p := range g.pools {
		replies[p] = pipe.HGetAll(ctx, stateKey(p.Name))
	}
	return func() {
		skew := time.Until(clock.Val())
		for p, reply := range replies {
			p.see(parseState(reply.Val(), skew))
		}
	}
}

// Allow says which calls to an upstream may be made. One that has failed lately gets no more new ones at once than it takes
// to find out whether it always does.
func (g *Gate) Allow(name string) queue.Allowance {
	p := g.pools[name]
	switch s := p.now(); {
	case !s.until.IsZero() && time.Now().Before(s.until):
		return queue.Allowance{Until: s.until}
	case !s.until.IsZero():
		return queue.Allowance{Most: 1, Probe: true}
	case s.failures > 0:
		return queue.Allowance{Most: max(p.Rules.Threshold-s.failures, 1), Since: s.since}
	}
	return queue.Allowance{Most: -1}
}

// Claim asks for the one call that tries an upstream again. probe is its name; empty with ok where any number of calls may
// be made, as the upstream is back.
func (g *Gate) Claim(ctx context.Context, name string) (probe string, ok bool, err error) {
	p := g.pools[name]
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	probe = rand.Text()
	n, err := claimScript.Run(ctx, p.Redis, []string{stateKey(name)},
		probe, probeLease.Milliseconds(), stateTTL.Milliseconds()).Int()
	switch {
	case err != nil:
		return "", false, fmt.Errorf("claim the probe of upstream %s: %w", name, err)
	case n == 0:
		return "", false, nil
	case n == 2:
		return "", true, nil
	}
	p.Log.InfoContext(ctx, "upstream is tried again")
	return probe, true, nil
}

// GiveBack lets another call be the probe, if this one was not made or says nothing of the upstream. It is harmless after
// one that does.
func (g *Gate) GiveBack(ctx context.Context, name, probe string) {
	p := g.pools[name]
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	err := reportScript.Run(ctx, p.Redis, []string{stateKey(name)}, "nothing", probe, p.Rules.Threshold, 0, 0, 0, "", "nothing", 0,
		len(p.Keys), stateTTL.Milliseconds(), 0, false, "").Err()
	if err != nil {
		p.Log.WarnContext(ctx, "a probe was not given back; another is sent in a minute", slog.Any("error", err))
	}
}
