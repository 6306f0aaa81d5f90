package main

import (
	"context"
	"fmt"
	"time"
)

const maxIdleRate = 25 // commands a second

// idle counts what Redis is asked while nobody wants anything.
func (b *bench) idle(ctx context.Context) ([]table, error) {
	l, err := b.newLab(ctx, settings{})
	if err != nil {
		return nil, err
	}
	defer l.close()
	sides, err := l.all(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // until what starts has started
		return nil, err
	}
	// Each has a Redis of its own and does next to nothing: they are idle side by side, and one span is enough.
	span := time.Duration(b.amount(30, 12)) * time.Second
	rates := make(map[string]float64)
	before := make(map[string]int64)
	began := time.Now()
	for _, s := range sides {
		if s.redis == nil {
			continue
		}
		if before[s.name], err = s.redis.commands(ctx); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, span); err != nil {
		return nil, err
	}
	for _, s := range sides {
		if s.redis == nil {
			continue
		}
		after, err := s.redis.commands(ctx)
		if err != nil {
			return nil, err
		}
		rates[s.name] = float64(after-before[s.name]) / time.Since(began).Seconds()
	}
	c := newComparison(fmt.Sprintf("One API process and one worker, or the asynq side's two, over %v, default settings; commands inside scripts count:", span), nameAsynq)
	c.add("Redis commands a second", commandsUnit, func(name string) float64 { return rates[name] }, atMost(maxIdleRate))
	return []table{c.table}, l.check()
}

// pause waits, or returns why it did not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
