package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// marks keeps the owner marks of this process' calls alive.
type marks struct {
	records Records
	log     *slog.Logger

	mu   sync.Mutex
	held map[job.Mark]struct{}
}

func newMarks(r Records, log *slog.Logger) *marks {
	return &marks{records: r, log: log, held: make(map[job.Mark]struct{})}
}

// hold keeps a mark until the returned function is called.
func (m *marks) hold(mark job.Mark) (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[mark] = struct{}{}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.held, mark)
	}
}

// run renews until ctx ends. With nothing under way it asks Redis nothing.
func (m *marks) run(ctx context.Context) {
	tick := time.NewTicker(renewInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.renew(ctx)
		}
	}
}

func (m *marks) renew(ctx context.Context) {
	m.mu.Lock()
	held := make([]job.Mark, 0, len(m.held))
	for mark := range m.held {
		held = append(held, mark)
	}
	m.mu.Unlock()
	if len(held) == 0 {
		return
	}
	kept, err := m.records.Renew(ctx, held, markTTL)
	if err != nil {
		if ctx.Err() == nil {
			m.log.WarnContext(ctx, "renew owner marks; trying again", slog.Any("error", err))
		}
		return
	}
	for i, ok := range kept {
		if !ok {
			// The call may have ended between the list and its renewal; if not, its result is still taken if it is first.
			m.log.DebugContext(ctx, "owner mark is gone", slog.String("job_id", string(held[i].Task.Job)), slog.Int("image", held[i].Task.Image))
		}
	}
}
