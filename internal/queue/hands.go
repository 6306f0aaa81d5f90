package queue

import "sync"

// hands are goroutines that run one handler after another. A new goroutine begins with a small stack, which is copied each
// time that it has to grow: with a handler's depth of calls that is a tenth of what a short errand costs.
type hands struct {
	work chan func()
	done chan struct{}
	all  sync.WaitGroup
}

func newHands() *hands { return &hands{work: make(chan func()), done: make(chan struct{})} }

// do runs f on a goroutine that has nothing to do, or on a new one.
func (h *hands) do(f func()) {
	select {
	case h.work <- f:
	default:
		h.all.Go(func() { h.run(f) })
	}
}

func (h *hands) run(f func()) {
	for {
		f()
		select {
		case f = <-h.work:
		case <-h.done:
			return
		}
	}
}

// wait returns when everything was run. Nothing may be given to do any more.
func (h *hands) wait() {
	close(h.done)
	h.all.Wait()
}
