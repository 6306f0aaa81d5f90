package daemon

import (
	"context"
	"errors"
	"slices"
)

// group runs the parts of a process. A later part may use the earlier ones: they are stopped in reverse order, each only
// after all that were started after it have ended.
type group struct {
	parts []*part
	ended chan struct{} // buffer of one: a part ended by itself
}

type part struct {
	stop context.CancelFunc
	done chan struct{}
	err  error // once done is closed
}

func newGroup() *group { return &group{ended: make(chan struct{}, 1)} }

// start runs f until the group stops it. The end of ctx does not: order matters.
func (g *group) start(ctx context.Context, f func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{stop: stop, done: make(chan struct{})}
	g.parts = append(g.parts, p)
	go func() {
		p.err = f(ctx)
		close(p.done)
		select {
		case g.ended <- struct{}{}:
		default:
		}
	}()
}

// wait blocks until ctx ends or a part does, stops all parts, and returns what they failed with.
func (g *group) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-g.ended:
	}
	var errs []error
	for _, p := range slices.Backward(g.parts) {
		p.stop()
		<-p.done
		errs = append(errs, p.err)
	}
	return errors.Join(errs...)
}
