package main

import (
	"context"
	"fmt"
	"time"
)

const (
	burstCallers    = 2000
	burstCalls      = 3 // of each
	burstLatency    = time.Second
	maxBurstOver    = 300 * time.Millisecond
	maxBurstMemory  = 120 << 20
	pendingForBurst = 2 * burstCallers
)

// burst lets 2,000 callers begin in the same moment, with an upstream that takes a second. Every run has processes of its
// own, so that the memory at its peak is that of the run.
func (b *bench) burst(ctx context.Context) ([]table, error) {
	callers := b.amount(burstCallers, burstCallers/4)
	s := settings{latency: burstLatency, concurrency: callers, apiEnv: []string{fmt.Sprintf("QUEUE_MAX_PENDING=%d", pendingForBurst)}}
	runs := make(map[string][]measured)
	for n := range b.runs {
		for _, name := range []string{nameDirect, nameProxy, nameAsynq, nameOurs} {
			m, err := b.burstRun(ctx, s, name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			b.tell(n, name, m)
			runs[name] = append(runs[name], m)
		}
	}
	c := newComparison(fmt.Sprintf("%s callers, %d calls each, upstream 1 s, WORKER_CONCURRENCY=%d, QUEUE_MAX_PENDING=%d:",
		thousands(int64(callers)), burstCalls, callers, pendingForBurst), nameDirect, nameProxy, nameAsynq)
	over := func(q float64) func(string) float64 {
		return func(name string) float64 { return took(runs, q)(name) - burstLatency.Seconds() }
	}
	addErrors(c, runs)
	c.add("beyond 1 s, p99", millis, over(p99), atMost(maxBurstOver.Seconds()))
	c.add("beyond 1 s, median", millis, over(half), goal{})
	c.add("memory, "+partAPI, mebibytes, peakOf(runs, partAPI), atMost(maxBurstMemory))
	for _, process := range []string{partWorker, partRedis, roleUpstream} {
		c.add("memory, "+process, mebibytes, peakOf(runs, process), goal{})
	}
	return []table{c.table}, nil
}

func (b *bench) burstRun(ctx context.Context, s settings, name string) (measured, error) {
	l, err := b.newLab(ctx, s)
	if err != nil {
		return measured{}, err
	}
	defer l.close()
	one, err := l.side(ctx, name)
	if err != nil {
		return measured{}, err
	}
	m, err := one.measure(ctx, func(ctx context.Context, t target) (outcome, error) {
		return closedLoop(ctx, t, s.concurrency, burstCalls, 0)
	})
	if err != nil {
		return m, err
	}
	return m, l.check()
}

// side starts one of the sides.
func (l *lab) side(ctx context.Context, name string) (*side, error) {
	switch name {
	case nameDirect:
		return l.direct(), nil
	case nameProxy:
		return l.proxy(ctx)
	case nameAsynq:
		return l.asynq(ctx)
	}
	g, err := l.ours(ctx)
	if err != nil {
		return nil, err
	}
	return g.side, nil
}
