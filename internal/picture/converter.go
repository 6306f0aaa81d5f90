package picture

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Converter converts pictures, few of them at once: each takes tens of megabytes and all of a processor. It is safe for
// concurrent use.
type Converter struct{ places chan struct{} }

// NewConverter returns a converter that takes at most half of the processors.
func NewConverter() *Converter {
	return &Converter{places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// Convert waits for its turn and then does as the function [Convert]. A panic, which a decoder may come to in what
// strangers made, is an error. When ctx ends before its turn, the error is the cause.
func (c *Converter) Convert(ctx context.Context, p Picture, to Format, quality int) (converted Picture, err error) {
	if p.Format == to {
		return p, nil
	}
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return Picture{}, context.Cause(ctx)
	}
	defer func() {
		if v := recover(); v != nil {
			converted, err = Picture{}, fmt.Errorf("convert a %s: panic: %v: %s", p.Format, v, debug.Stack())
		}
	}()
	return Convert(p, to, quality)
}
