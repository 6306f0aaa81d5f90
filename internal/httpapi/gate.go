package httpapi

import (
	"context"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const (
	// submitters is how many requests submit their jobs at once: as many as share a round trip to Redis well.
	submitters = 64
	// awayAfter is how long no submission must have been done for one that fails to mean that Redis is away: less than the
	// time that it was given.
	awayAfter = time.Second
)

// gate lets requests submit their jobs in turn, no more than so many at once. A submission is given little time: where
// thousands begin at once they share it, and all are late together.
//
// Who stands at the gate is not answered within that time, so nobody does while Redis is away: once a submission has
// failed for that, and none was done for a second, all who stand there are sent away.
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

// pass calls f for who was let in, and returns its error.
func (g *gate) pass(ctx context.Context, f func(context.Context) error) error {
	answered := true // where f panics, nothing is known of Redis
	defer func() { g.leave(answered) }()
	err := f(ctx)
	answered = err == nil || imagegen.AsError(err).Kind != imagegen.KindQueueUnavailable
	return err
}

// open lets somebody in at once, if there is a place and nobody stands there.
func (g *gate) open() bool {
	select {
	case g.places <- struct{}{}:
		return true
	default:
		return false
	}
}

// enter waits until it is the caller's turn. It fails where the client goes away, or Redis does.
func (g *gate) enter(ctx context.Context) error {
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

// leave gives the place back of a submission, once it is noted how it ended.
func (g *gate) leave(answered bool) {
	g.mu.Lock()
	switch {
	case answered:
		g.done = time.Now()
	case time.Since(g.done) > awayAfter:
		close(g.closed)
		g.closed = make(chan struct{})
	}
	g.mu.Unlock()
	<-g.places
}
