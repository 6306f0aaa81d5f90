package job

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

const (
	// eventBuffer is how many messages may wait for the reader. It never blocks, so a full buffer means a stalled process.
	eventBuffer = 4096
	// resyncChunk is how many jobs one round trip asks for after a reconnect.
	resyncChunk = 500
	// resyncRetry is the pause after a resync that failed.
	resyncRetry = time.Second
)

// Watcher tells waiters in this process that a job became terminal, or of every change of it. All of them share one Pub/Sub subscription: a waiter
// costs no connection and no command. Messages lost with a connection are made up for when the subscription is back, by
// reading the status of every job that is waited for.
type Watcher struct {
	client  redis.UniversalClient
	channel string
	store   *Store
	log     *slog.Logger
	resync  chan struct{} // buffer of one

	mu      sync.Mutex
	watches map[ID]map[*Watch]struct{}
	count   int
	heardAt time.Time // when something was last heard, of whatever job, or all that were waited for were looked at
}

// NewWatcher returns a watcher; it hears nothing until [Watcher.Run].
func NewWatcher(client redis.UniversalClient, store *Store, log *slog.Logger) *Watcher {
	return newWatcher(client, EventsChannel, store, log)
}

// NewCancelWatcher returns a watcher that hears of jobs that are cancelled, and of no other end.
func NewCancelWatcher(client redis.UniversalClient, store *Store, log *slog.Logger) *Watcher {
	return newWatcher(client, CancelledChannel, store, log)
}

func newWatcher(client redis.UniversalClient, channel string, store *Store, log *slog.Logger) *Watcher {
	return &Watcher{
		client: client, channel: channel, store: store, log: log,
		resync: make(chan struct{}, 1), watches: make(map[ID]map[*Watch]struct{}),
	}
}

// Watch is one waiter's registration. C receives when the job may have become terminal or, for [Watcher.WatchChanges],
// may have changed; a signal may be stale or stand for several, so look at the record. Watch before the first look, and no
// change goes unheard.
type Watch struct {
	C       <-chan struct{}
	c       chan struct{}
	id      ID
	changes bool // every one, not only the last
	w       *Watcher
	end     atomic.Pointer[ending] // what was told of the job's end
}

// ending is what a message tells of the end of a job.
type ending struct {
	version, rest string
}

// Watch registers a waiter for a job's end. Stop it when done.
func (w *Watcher) Watch(id ID) *Watch { return w.watch(id, false) }

// WatchSince is Watch for a waiter that should have registered at an earlier time. If anything was heard since, it may have been
// of this job: the watch is signalled.
func (w *Watcher) WatchSince(id ID, since time.Time) *Watch {
	watch := w.watch(id, false)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heardAt.After(since) {
		signal(watch.c)
	}
	return watch
}

// WatchChanges registers a waiter for every change of a job. Stop it when done.
func (w *Watcher) WatchChanges(id ID) *Watch { return w.watch(id, true) }

func (w *Watcher) watch(id ID, changes bool) *Watch {
	c := make(chan struct{}, 1)
	watch := &Watch{C: c, c: c, id: id, changes: changes, w: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	set := w.watches[id]
	if set == nil {
		set = make(map[*Watch]struct{}, 1)
		w.watches[id] = set
	}
	set[watch] = struct{}{}
	w.count++
	return watch
}

// told returns the job that was known before as it ended, if that was told.
func (x *Watch) told(known *Job) (Job, error) {
	end := x.end.Load()
	if known == nil || end == nil {
		return Job{}, ErrNotFound
	}
	return known.ended(*end)
}

// Stop ends the registration, if there is one.
func (x *Watch) Stop() {
	if x == nil {
		return
	}
	w := x.w
	w.mu.Lock()
	defer w.mu.Unlock()
	set := w.watches[x.id]
	if _, ok := set[x]; !ok {
		return
	}
	delete(set, x)
	w.count--
	if len(set) == 0 {
		delete(w.watches, x.id)
	}
}

// Waiting returns the number of waiters.
func (w *Watcher) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// Run keeps the subscription until ctx ends. It returns nil then.
func (w *Watcher) Run(ctx context.Context) error {
	sub := w.client.Subscribe(ctx, w.channel)
	// The default channel hides reconnects, and drops messages once its 100 places are taken.
	events := sub.ChannelWithSubscriptions(redis.WithChannelSize(eventBuffer))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.resyncLoop(ctx) })
	g.Go(func() error {
		w.read(ctx, events)
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		_ = sub.Close()
		return nil
	})
	return g.Wait() //nolint:wrapcheck // none of the three fails
}

// read never blocks and never asks Redis, so that the subscription never falls behind.
func (w *Watcher) read(ctx context.Context, events <-chan any) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			switch e := e.(type) {
			case *redis.Subscription:
				signal(w.resync)
			case *redis.Message:
				w.heard(e.Payload)
			}
		}
	}
}

func (w *Watcher) heard(message string) {
	id, rest, _ := strings.Cut(message, " ")
	version, rest, ok := strings.Cut(rest, " ")
	status, rest, _ := strings.Cut(rest, " ")
	if !ok {
		w.log.Warn("unreadable job event", slog.String("event", strconv.Quote(message)))
		return
	}
	var end *ending
	if rest != "" {
		end = &ending{version, rest}
	}
	w.wake(ID(id), Status(status).Terminal(), end)
}

// wake signals a job's watches; those for its end alone only at its end, of which told may tell.
func (w *Watcher) wake(id ID, end bool, told *ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heardAt = time.Now()
	for watch := range w.watches[id] {
		if end || watch.changes {
			if told != nil {
				watch.end.Store(told)
			}
			signal(watch.c)
		}
	}
}

// signal leaves a mark in a channel of one place; a mark that is already there serves.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// resyncLoop looks at every job that is waited for after each (re)subscription.
func (w *Watcher) resyncLoop(ctx context.Context) error {
	retry := time.NewTimer(0)
	<-retry.C
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.resync:
		case <-retry.C:
		}
		if err := w.resyncOnce(ctx); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "look at waited-for jobs after reconnect", slog.Any("error", err))
			retry.Reset(resyncRetry)
		}
	}
}

func (w *Watcher) resyncOnce(ctx context.Context) error {
	ids := w.waitedFor()
	for len(ids) > 0 {
		chunk := ids[:min(len(ids), resyncChunk)]
		ids = ids[len(chunk):]
		statuses, err := w.store.statuses(ctx, chunk)
		if err != nil {
			return err
		}
		for i, status := range statuses {
			// A job that is gone wakes its waiters too: they must be told.
			w.wake(chunk[i], status == "" || status.Terminal(), nil)
		}
	}
	return nil
}

func (w *Watcher) waitedFor() []ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heardAt = time.Now()
	ids := make([]ID, 0, len(w.watches))
	for id := range w.watches {
		ids = append(ids, id)
	}
	return ids
}
