package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

func TestGroupStopsInReverse(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var ended []string
	g := newGroup()
	for _, name := range []string{"redis", "worker", "api"} {
		g.start(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, name)
			return nil
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.wait(ctx); err != nil {
		t.Error(err)
	}
	if want := []string{"api", "worker", "redis"}; !slices.Equal(ended, want) {
		t.Errorf("parts ended as %v, want %v", ended, want)
	}
}

func TestGroupEndsWithAPart(t *testing.T) {
	t.Parallel()
	failure := errors.New("port in use")
	g := newGroup()
	stopped := false
	g.start(t.Context(), func(ctx context.Context) error {
		<-ctx.Done()
		stopped = true
		return nil
	})
	g.start(t.Context(), func(context.Context) error { return failure })
	if err := g.wait(t.Context()); !errors.Is(err, failure) {
		t.Errorf("wait = %v, want the part's failure", err)
	}
	if !stopped {
		t.Error("the other part was left running")
	}
}
