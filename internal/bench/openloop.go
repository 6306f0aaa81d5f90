package main

import (
	"context"
	"sync"
	"time"
)

// schedule is the plan of an open loop: calls that are due at a fixed rate.
type schedule struct {
	start time.Time
	every time.Duration
	calls int
}

// due returns when the n-th call is to be made, counted from 0. It depends on no call before it.
func (s schedule) due(n int) time.Time { return s.start.Add(time.Duration(n) * s.every) }

// pace hands out the calls when they are due, never before, and never waits for anybody to take one.
func (s schedule) pace(ctx context.Context, sleep func(time.Duration)) <-chan int {
	due := make(chan int, s.calls) // room for all: whoever is slow must not hold the clock up
	go func() {
		defer close(due)
		for n := range s.calls {
			for left := time.Until(s.due(n)); left > 0; left = time.Until(s.due(n)) {
				sleep(left)
			}
			if ctx.Err() != nil {
				return
			}
			due <- n
		}
	}()
	return due
}

// openLoop makes calls at a fixed rate, as independent people do, over as many connections as there are callers. Latency counts
// from the moment at which a call was due. Counting from when it was sent would leave out the time it stood behind slower
// ones: the coordinated omission that Gil Tene named, by which a system that stalls for a second shows one slow call
// where a thousand people waited.
func openLoop(ctx context.Context, t target, callers []*caller, s schedule) (outcome, error) {
	s.start = time.Now()
	due := s.pace(ctx, sleep)
	var all collector
	var wg sync.WaitGroup
	for _, c := range callers {
		wg.Go(func() {
			defer c.close()
			var samples []time.Duration
			var errs int
			var first error
			for n := range due {
				if err := c.call(ctx, t); err != nil {
					errs++
					first = err
					continue
				}
				samples = append(samples, time.Since(s.due(n)))
			}
			all.add(samples, errs, first)
		})
	}
	wg.Wait()
	all.out.elapsed = time.Since(s.start)
	return all.out, context.Cause(ctx)
}
