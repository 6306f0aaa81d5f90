package main

import (
	"context"
	"time"
)

// The bounds that the gateway must keep to.
const (
	maxAddedMedian = 1500 * time.Microsecond
	maxAddedP99    = 5 * time.Millisecond
)

// latency measures what the gateway adds to a call: one at a time, with an upstream that answers at once.
func (b *bench) latency(ctx context.Context) ([]table, error) {
	l, err := b.newLab(ctx, settings{})
	if err != nil {
		return nil, err
	}
	defer l.close()
	sides, err := l.all(ctx)
	if err != nil {
		return nil, err
	}
	calls := func(s *side) (warmUp, each int) {
		if s.name == nameAsynq { // a second for each
			return 1, b.amount(15, 5)
		}
		return 200, b.amount(2000, 1000)
	}
	for _, s := range sides {
		warmUp, _ := calls(s)
		if _, err := closedLoop(ctx, s.target, 1, warmUp, 0); err != nil {
			return nil, err
		}
	}
	runs, err := b.interleave(ctx, sides, func(s *side) (measured, error) {
		return s.measure(ctx, func(ctx context.Context, t target) (outcome, error) {
			_, each := calls(s)
			return closedLoop(ctx, t, 1, each, 0)
		})
	})
	if err != nil {
		return nil, err
	}
	c := newComparison("", nameDirect, nameProxy, nameAsynq)
	added := func(q float64) func(string) float64 {
		return func(name string) float64 {
			if name == nameDirect {
				return nan
			}
			values := make([]float64, len(runs[name]))
			for i := range values {
				values[i] = quantile(runs[name][i].samples, q) - quantile(runs[nameDirect][i].samples, q)
			}
			return median(values)
		}
	}
	c.add("added to a call, median", millis, added(half), atMost(maxAddedMedian.Seconds()))
	c.add("added to a call, p99", millis, added(p99), atMost(maxAddedP99.Seconds()))
	c.add("a call, median", millis, took(runs, half), goal{})
	c.add("a call, p99", millis, took(runs, p99), goal{})
	addErrors(c, runs)
	return []table{c.table}, nil
}
