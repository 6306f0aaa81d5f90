// Package hands runs functions on goroutines that have run others before, and whose stacks have grown. A new goroutine begins
// with a small stack, which is copied each time that it has to grow: for a handler that encodes JSON and asks Redis that is
// a tenth of its time. And a goroutine that waits for long stays small when it lets another one go deep.
package hands

import (
	"sync"
	"time"
)

// idle is how long a goroutine waits for another function to run before it ends.
const idle = 50 * time.Millisecond

// Hands are the goroutines of one owner.
type Hands struct {
	work   chan func() // for those that have nothing to do
	closed chan struct{}
	calls  sync.Pool // of *call
}

// New returns hands, none of which is there yet. What has nothing to do for a moment is gone by itself; [Hands.Close] makes
// it so at once.
func New() *Hands {
	return &Hands{work: make(chan func()), closed: make(chan struct{}), calls: sync.Pool{New: func() any { return newCall() }}}
}

// Close ends the goroutines that have nothing to do, and those that run something after that. It is called once.
func (h *Hands) Close() { close(h.closed) }

// Go runs f on a goroutine that has nothing to do, or on a new one. Who calls it knows when f is done.
func (h *Hands) Go(f func()) {
	select {
	case h.work <- f:
	default:
		go h.run(f)
	}
}

// Run is Go that waits for f. A panic of f is one of the caller's.
func (h *Hands) Run(f func()) {
	c := h.calls.Get().(*call) //nolint:errcheck // it holds nothing else
	c.f = f
	h.Go(c.run)
	<-c.done
	panicked := c.panicked
	c.f, c.panicked = nil, nil
	h.calls.Put(c)
	if panicked != nil {
		panic(panicked)
	}
}

// call is a function that somebody waits for.
type call struct {
	f        func()
	panicked any
	done     chan struct{} // buffer of one
	run      func()        // its method make, which would be allocated each time
}

func newCall() *call {
	c := &call{done: make(chan struct{}, 1)}
	c.run = c.make
	return c
}

func (c *call) make() {
	defer func() {
		c.panicked = recover()
		c.done <- struct{}{}
	}()
	c.f()
}

func (h *Hands) run(f func()) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		f()
		timer.Reset(idle)
		select {
		case f = <-h.work:
		case <-timer.C:
			return
		case <-h.closed:
			return
		}
	}
}
