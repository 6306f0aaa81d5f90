package main

import (
	"context"
	"fmt"
	"math"
)

var nan = math.NaN()

// all starts all sides.
func (l *lab) all(ctx context.Context) ([]*side, error) {
	ours, err := l.ours(ctx)
	if err != nil {
		return nil, err
	}
	asynq, err := l.asynq(ctx)
	if err != nil {
		return nil, err
	}
	proxy, err := l.proxy(ctx)
	if err != nil {
		return nil, err
	}
	return []*side{l.direct(), proxy, asynq, ours.side}, nil
}

// amount returns how much is done of something.
func (b *bench) amount(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

// interleave measures the sides in turn, as often as there are runs, and returns the runs of each.
func (b *bench) interleave(ctx context.Context, sides []*side, one func(*side) (measured, error)) (map[string][]measured, error) {
	runs := make(map[string][]measured)
	for n := range b.runs {
		for _, s := range sides {
			m, err := one(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			b.tell(n, s.name, m)
			runs[s.name] = append(runs[s.name], m)
		}
	}
	return runs, nil
}

// tell shows a run to whoever watches.
func (b *bench) tell(n int, name string, m measured) {
	b.say("  run %d, %s: %d calls, %s, median %s, p99 %s, %d errors", n+1, name, len(m.samples), perSecond(m.rate()),
		unit(millis).write(quantile(m.samples, half)), unit(millis).write(quantile(m.samples, p99)), m.errors)
	if m.first != nil {
		b.say("    %v", m.first)
	}
}

// addErrors adds how many calls failed in all runs together, of which there may be none.
func addErrors(c *comparison, runs map[string][]measured) {
	c.add("calls that failed, all runs together", plain, func(name string) float64 {
		if len(runs[name]) == 0 {
			return nan
		}
		total := 0
		for _, m := range runs[name] {
			total += m.errors
		}
		return float64(total)
	}, atMost(0))
}

// plain writes a count.
func plain(v float64) string { return thousands(int64(v)) }

// figure returns what of says of each side: the median of its runs.
func figure(runs map[string][]measured, of func(measured) float64) func(name string) float64 {
	return func(name string) float64 { return medianOf(runs[name], of) }
}

// took is the figure of how long a call took, in seconds.
func took(runs map[string][]measured, q float64) func(name string) float64 {
	return figure(runs, func(m measured) float64 { return quantile(m.samples, q) })
}

// peakOf is the figure of the most memory that a process held.
func peakOf(runs map[string][]measured, process string) func(name string) float64 {
	return figure(runs, func(m measured) float64 { return m.peak(process) })
}
