package main

import (
	"context"
	"fmt"
	"math"
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
	c := newComparison(fmt.Sprintf("Closed loop, %d connections, upstream 0 ms, WORKER_CONCURRENCY=%d:", connections, connections), nameDirect, nameProxy, nameAsynq)
	c.add("calls a second", perSecond, figure(runs, measured.rate), atLeast(minRate))
	c.add("a call, median", millis, took(runs, half), goal{})
	c.add("a call, p99", millis, took(runs, p99), goal{})
	addErrors(c, runs)
	return c.table
}

// cpuTable says what a call costs each process, and how much memory it came to.
func cpuTable(runs map[string][]measured) table {
	c := newComparison("CPU time of a call in the same runs, and memory at its peak:", nameDirect, nameProxy, nameAsynq)
	cpu := func(process string) func(string) float64 {
		return figure(runs, func(m measured) float64 { return m.cpu(process) })
	}
	processes := []string{partAPI, partWorker, partRedis, roleUpstream, generator}
	for _, process := range processes {
		c.add("CPU, "+process, micros, cpu(process), goal{})
	}
	c.add("CPU, all", micros, func(name string) (total float64) {
		for _, process := range processes {
			if v := cpu(process)(name); !math.IsNaN(v) {
				total += v
			}
		}
		return total
	}, goal{})
	for _, process := range processes[:3] {
		c.add("memory, "+process, mebibytes, peakOf(runs, process), goal{})
	}
	return c.table
}

func openTable(runs map[string][]measured) table {
	c := newComparison(fmt.Sprintf("Open loop, %s calls a second, latency from the moment each was due:", number(openRate)), nameDirect, nameProxy, nameAsynq)
	c.add("a call, median", millis, took(runs, half), goal{})
	c.add("a call, p99", millis, took(runs, p99), goal{})
	c.add("a call, p99.9", millis, took(runs, p999), goal{})
	addErrors(c, runs)
	return c.table
}
