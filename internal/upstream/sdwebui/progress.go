package sdwebui

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

const (
	progressInterval = time.Second
	progressTimeout  = 5 * time.Second // of one look: a server that is busy with the picture may be slow to say so
)

// watch tells how far the picture is until the returned function is called, which waits for the last look to end.
func (c *Client) watch(ctx context.Context, tell func(float64)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		told := 0.0
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			done, more := c.look(ctx)
			if !more {
				return
			}
			if done > told && ctx.Err() == nil {
				told = done
				tell(done)
			}
		}
	})
	return func() {
		cancel()
		looking.Wait()
	}
}

// look asks for the progress once: 0 where nothing is known of this call's. There is no more to ask where the server says
// that we may not, or that it has no such thing.
func (c *Client) look(ctx context.Context) (done float64, more bool) {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	rep, failure := c.caller.Call(ctx, adapter.Request{Method: http.MethodGet, URL: c.progress, Auth: c.auth})
	switch {
	case failure != nil:
		return 0, true
	case rep.Status >= 400 && rep.Status < 500:
		return 0, false
	case rep.Status != http.StatusOK, c.underWay.Load() != 1:
		return 0, true
	}
	var present struct {
		Progress float64 `json:"progress"` // 0 to 1
		State    struct {
			Job string `json:"job"`
		} `json:"state"`
	}
	if json.Unmarshal(rep.Body, &present) != nil || strings.HasPrefix(present.State.Job, "task(") {
		return 0, true
	}
	return min(max(present.Progress, 0), 1), true
}
