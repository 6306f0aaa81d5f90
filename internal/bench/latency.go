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
	calls := map[string]int{nameOurs: b.amount(2000, 1000), nameDirect: b.amount(2000, 1000), nameAsynq: b.amount(15, 5)}
	warmUp := map[string]int{nameOurs: 200, nameDirect: 200, nameAsynq: 1}
	for _, s := range sides {
		if _, err := closedLoop(ctx, s.target, 1, warmUp[s.name], 0); err != nil {
			return nil, err
		}
	}
	runs, err := b.interleave(ctx, sides, func(s *side) (measured, error) {
		return s.measure(ctx, func(ctx context.Context, t target) (outcome, error) {
			return closedLoop(ctx, t, 1, calls[s.name], 0)
		})
	})
	if err != nil {
		return nil, err
	}
	at := func(name string, q float64) float64 {
		return medianOf(runs[name], func(m measured) float64 { return quantile(m.samples, q) })
	}
	added := func(name string, q float64) float64 {
		values := make([]float64, len(runs[name]))
		for i := range values {
			values[i] = quantile(runs[name][i].samples, q) - quantile(runs[nameDirect][i].samples, q)
		}
		return median(values)
	}
	c := newComparison("")
	c.add("added to a call, median", millis, added(nameOurs, half), nan, added(nameAsynq, half), atMost(maxAddedMedian.Seconds()))
	c.add("added to a call, p99", millis, added(nameOurs, p99), nan, added(nameAsynq, p99), atMost(maxAddedP99.Seconds()))
	c.add("a call, median", millis, at(nameOurs, half), at(nameDirect, half), at(nameAsynq, half), goal{})
	c.add("a call, p99", millis, at(nameOurs, p99), at(nameDirect, p99), at(nameAsynq, p99), goal{})
	addErrors(c, runs)
	return []table{c.table}, nil
}
