package daemon

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/admin"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
)

const (
	// rosterInterval is how often it is asked which upstreams have workers.
	rosterInterval = 5 * time.Second
	rosterTimeout  = 3 * time.Second
)

// roster knows which upstreams some worker serves. Processes read their own files: a model may name an upstream that no
// worker knows, and its pictures would wait for ever.
type roster struct {
	queue *queue.Client
	// pausesFunc returns until when those of the upstreams are spared calls that fail.
	pausesFunc func(ctx context.Context, upstreams ...string) (map[string]time.Time, error)
	models     []imagegen.Model
	log        *slog.Logger
	served     atomic.Pointer[queue.Served] // nil: no worker says anything
	paused     atomic.Pointer[map[string]time.Time]
	told       string // what was logged last
}

// run asks until ctx ends.
func (r *roster) run(ctx context.Context) error {
	tick := time.NewTicker(rosterInterval)
	defer tick.Stop()
	for {
		r.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *roster) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, rosterTimeout)
	defer cancel()
	served, err := r.queue.Served(ctx)
	switch {
	case err != nil:
		return // what was known last is the best guess
	case len(served.Upstreams) == 0:
		r.served.Store(nil)
	default:
		r.served.Store(&served)
	}
	if paused, err := r.pausesFunc(ctx, served.Upstreams...); err == nil {
		r.paused.Store(&paused)
	}
	switch complaint := r.complaint(); complaint {
	case r.told:
	case "":
		r.told = ""
		r.log.InfoContext(ctx, "every model has a worker", slog.Any("upstreams", served.Upstreams))
	default:
		r.told = complaint
		r.log.ErrorContext(ctx, "the processes disagree: give them the same CONFIG_FILE", slog.String("complaint", complaint))
	}
}

// filter returns those of the upstreams that some worker serves, all of them where no worker says anything: first those that
// are not spared calls at the moment.
func (r *roster) filter(upstreams []string) []string {
	served, paused := r.served.Load(), r.paused.Load()
	if served == nil {
		return upstreams
	}
	able := slices.DeleteFunc(slices.Clone(upstreams), func(u string) bool { return !slices.Contains(served.Upstreams, u) })
	if paused != nil {
		now := time.Now()
		slices.SortStableFunc(able, func(a, b string) int {
			return compare((*paused)[a].After(now), (*paused)[b].After(now))
		})
	}
	return able
}

// compare puts no before yes.
func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// complaint says in what the processes disagree; empty: in nothing.
func (r *roster) complaint() string {
	var all []string
	if orphans := r.orphans(); orphans != "" {
		all = append(all, "no worker serves any upstream of these models, and requests for them are refused: "+orphans)
	}
	if served := r.served.Load(); served != nil && len(served.Disputed) > 0 {
		all = append(all, "workers take these upstreams for different ones: "+strings.Join(served.Disputed, ", "))
	}
	return strings.Join(all, "; ")
}

// orphans returns the models whose upstreams no worker serves.
func (r *roster) orphans() string {
	var ids []string
	for _, m := range r.models {
		if len(r.filter(m.Upstreams)) == 0 {
			ids = append(ids, m.ID)
		}
	}
	return strings.Join(ids, ", ")
}

// check is one of /readyz.
func (r *roster) check() admin.Check {
	c := admin.Check{Name: "workers", Warning: r.complaint()}
	if r.served.Load() == nil {
		c.Warning = "no worker runs: jobs wait"
	}
	return c
}
