package httpapi

import (
	"context"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// submitters is how many requests submit their jobs at once: more than there are connections to Redis in a pool of its
// default size on most machines, so that none is idle.
const submitters = 64

// gate lets requests submit their jobs in turn, no more than so many at once. A submission is given little time, and takes
// several round trips: where thousands begin at once they share every round, and all are late together.
//
// Who stands at the gate is not answered within that time, so nobody does while Redis is away: once a submission has
// failed for that, and none was done since it began, all who stand there are sent away.
type gate struct {
	places chan struct{}

	mu     sync.Mutex
	done   time.Time     // when the last submission was done that Redis answered
	closed chan struct{} // closed, and replaced, when all are sent away
}

// errSentAway is what those are told who were not let through.
var errSentAway = &imagegen.Error{
	Kind: imagegen.KindQueueUnavailable, RetryAfter: defaultRetryAfter,
	Message: "the queue cannot be reached at the moment; please try again",
}

func newGate(places int) *gate {
	return &gate{places: make(chan struct{}, places), closed: make(chan struct{})}
}

// pass calls f when it is its turn, and returns its error. It returns one of its own, and does not call f, where the
// client goes away or Redis does.
func (g *gate) pass(ctx context.Context, f func(context.Context) error) error {
	if err := g.enter(ctx); err != nil {
		return err
	}
	began, answered := time.Now(), false
	defer func() { g.leave(began, answered) }()
	err := f(ctx)
	answered = err == nil || imagegen.AsError(err).Kind != imagegen.KindQueueUnavailable
	return err
}

func (g *gate) enter(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
		return nil
	default:
	}
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	select {
	case g.places <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-closed:
		return errSentAway
	}
	select {
	case <-closed: // whoever closed it left this place
		<-g.places
		return errSentAway
	default:
		return nil
	}
}

// leave gives the place back of a submission that began then, once it is noted how it ended.
func (g *gate) leave(began time.Time, answered bool) {
	g.mu.Lock()
	switch {
	case answered:
		g.done = time.Now()
	case !g.done.After(began):
		close(g.closed)
		g.closed = make(chan struct{})
	}
	g.mu.Unlock()
	<-g.places
}
