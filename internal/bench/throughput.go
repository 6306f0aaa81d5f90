package main

import (
	"context"
	"fmt"
	"time"
)

const (
	minRate = 2100 // calls a second
	// connections is how many callers there are, and openRate how many calls a second are due in the open loop.
	connections = 64
	openRate    = 1000
)

// throughput measures how many calls go through when each caller calls again at once, and how long they take at a rate
// that leaves room.
func (b *bench) throughput(ctx context.Context) ([]table, error) {
	l, err := b.newLab(ctx, settings{concurrency: connections})
	if err != nil {
		return nil, err
	}
	defer l.close()
	sides, err := l.all(ctx)
	if err != nil {
		return nil, err
	}
	span := time.Duration(b.amount(5, 2)) * time.Second
	for _, s := range sides {
		if _, err := closedLoop(ctx, s.target, connections, 0, span/5); err != nil {
			return nil, err
		}
	}
	closed, err := b.interleave(ctx, sides, func(s *side) (measured, error) {
		if err := s.forgetPeaks(); err != nil {
			return measured{}, err
		}
		return s.measure(ctx, func(ctx context.Context, t target) (outcome, error) {
			return closedLoop(ctx, t, connections, 0, span)
		})
	})
	if err != nil {
		return nil, err
	}
	b.say("  open loop")
	open, err := b.interleave(ctx, sides, func(s *side) (measured, error) {
		return s.measure(ctx, func(ctx context.Context, t target) (outcome, error) {
			callers, err := connect(ctx, []target{t}, 4*connections)
			if err != nil {
				return outcome{}, err
			}
			plan := schedule{every: time.Second / openRate, calls: int(span.Seconds()) * openRate}
			return openLoop(ctx, t, callers, plan)
		})
	})
	if err != nil {
		return nil, err
	}
	return []table{throughputTable(closed), cpuTable(closed), openTable(open)}, l.check()
}

func throughputTable(runs map[string][]measured) table {
	rate := func(name string) float64 { return medianOf(runs[name], measured.rate) }
	at := func(name string, q float64) float64 {
		return medianOf(runs[name], func(m measured) float64 { return quantile(m.samples, q) })
	}
	c := newComparison(fmt.Sprintf("Closed loop, %d connections, upstream 0 ms, WORKER_CONCURRENCY=%d:", connections, connections))
	c.add("calls a second", perSecond, rate(nameOurs), rate(nameDirect), rate(nameAsynq), atLeast(minRate))
	c.add("a call, median", millis, at(nameOurs, half), at(nameDirect, half), at(nameAsynq, half), goal{})
	c.add("a call, p99", millis, at(nameOurs, p99), at(nameDirect, p99), at(nameAsynq, p99), goal{})
	addErrors(c, runs)
	return c.table
}

// cpuTable says what a call costs each process, and how much memory it came to.
func cpuTable(runs map[string][]measured) table {
	c := newComparison("CPU time of a call in the same runs, and memory at its peak:")
	names := map[string][3]string{ // ours, direct, asynq
		"api":            {"api", "", roleAsynqAPI},
		"worker":         {"worker", "", roleAsynqWorker},
		"Redis":          {"redis", "", "redis"},
		"upstream":       {roleUpstream, roleUpstream, roleUpstream},
		"load generator": {generator, generator, generator},
	}
	order := []string{"api", "worker", "Redis", "upstream", "load generator"}
	of := func(side, process string, what func(measured, string) float64) float64 {
		return medianOf(runs[side], func(m measured) float64 { return what(m, process) })
	}
	var total [3]float64
	for _, name := range order {
		var v [3]float64
		for i, side := range []string{nameOurs, nameDirect, nameAsynq} {
			v[i] = of(side, names[name][i], measured.cpu)
			if v[i] == v[i] {
				total[i] += v[i]
			}
		}
		c.add("CPU, "+name, micros, v[0], v[1], v[2], goal{})
	}
	c.add("CPU, all", micros, total[0], total[1], total[2], goal{})
	for _, name := range order[:3] {
		c.add("memory, "+name, mebibytes, of(nameOurs, names[name][0], measured.peak), nan, of(nameAsynq, names[name][2], measured.peak), goal{})
	}
	return c.table
}

func openTable(runs map[string][]measured) table {
	c := newComparison(fmt.Sprintf("Open loop, %s calls a second, latency from the moment each was due:", number(openRate)))
	for _, row := range []struct {
		what string
		q    float64
	}{{"median", half}, {"p99", p99}, {"p99.9", p999}} {
		at := func(name string) float64 {
			return medianOf(runs[name], func(m measured) float64 { return quantile(m.samples, row.q) })
		}
		c.add("a call, "+row.what, millis, at(nameOurs), at(nameDirect), at(nameAsynq), goal{})
	}
	addErrors(c, runs)
	return c.table
}
