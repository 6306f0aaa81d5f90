package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/hands"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

const (
	// abortGrace is what asynq's own shutdown waits beyond ours: calls that were cut off are still written down.
	abortGrace = 5 * time.Second
	// leaseRetryDelay follows a lost lease. It is long enough that, after a stall of Redis, a worker that is still
	// drawing renews its mark before the task can come back.
	leaseRetryDelay = 15 * time.Second
	// faultRetryDelay follows an error nobody classified.
	faultRetryDelay = 5 * time.Second
	// pollInterval is asynq's pause after it was told that there is nothing. The pause that counts is the dispatcher's.
	pollInterval = time.Millisecond
	// delayedInterval is how often asynq asks for tasks whose delay is over. The dispatcher answers most of that.
	delayedInterval = time.Second
	// janitorInterval is how often asynq looks for finished tasks to forget: no task of ours is kept.
	janitorInterval = time.Hour
	// deliverySlots is how many webhooks a process delivers at once.
	deliverySlots = 4
)

// ErrStopping is the cause of a call's context that ended because this process is stopping.
var ErrStopping = errors.New("the worker is stopping")

// ErrArchive wraps a handler's error whose task must not come again. asynq keeps it for operators to see.
var ErrArchive = errors.New("do not run again")

// RetryError asks that the task come again after a pause.
type RetryError struct {
	After time.Duration
	Err   error
}

// Error returns the reason.
func (e *RetryError) Error() string { return fmt.Sprintf("again in %v: %v", e.After, e.Err) }

// Unwrap returns the reason.
func (e *RetryError) Unwrap() error { return e.Err }

// Errand is a task that was taken.
type Errand struct {
	job.Task
	// Diverted says that its upstream is spared calls, and another takes them.
	Diverted bool
	// Probe names the one call that tries whether the upstream is back; empty: it is none.
	Probe string
	// Begun is its call, where that began as the task was taken; nil: it is still to begin.
	Begun *Begun
	// CallEnded lets another call be made while the rest of the errand takes its time. It may be called more than once.
	CallEnded func()
}

// Handler does an errand. nil ends the task; a *RetryError brings it again; an error that wraps ErrArchive keeps it
// for operators; any other error is a fault, and the task comes again a little later. The context ends, with the cause
// ErrStopping, only when the process has no more time: losing asynq's lease does not end it.
type Handler func(ctx context.Context, e Errand) error

// Handlers holds one for each kind of task.
type Handlers struct {
	Picture Handler
	// Webhook tells of jobs' ends; nil leaves that to other workers.
	Webhook Handler
}

// ServerConfig says how a worker takes tasks.
type ServerConfig struct {
	// Upstreams are those whose queues are served, with the number of calls to each at once over all workers; 0: no limit.
	Upstreams map[string]int
	// Marks tell each of them from another upstream of the same name: workers that disagree are found by them.
	Marks map[string]string
	// Elsewhere says for an upstream to which others its pictures may go while it is held back.
	Elsewhere map[string][]string
	// Gate holds upstreams back; nil: none ever is.
	Gate Gate
	// Begin says which calls begin as their tasks are taken. In a Redis Cluster none does.
	Begin Begin
	// Concurrency is the number of upstream calls at once in this process.
	Concurrency int
	// GlobalLimit is the number of calls at once to all upstreams together over all workers; 0: no limit.
	GlobalLimit int
	// ShutdownTimeout is how long running calls may go on once the server is told to stop.
	ShutdownTimeout time.Duration
	// OnPanic, if set, is told of every handler that panicked.
	OnPanic func()
}

func (c ServerConfig) upstreams() []string { return slices.Sorted(maps.Keys(c.Upstreams)) }

// Server takes tasks as they come and runs a handler for each.
type Server struct {
	cfg        ServerConfig
	log        *slog.Logger
	dispatcher *dispatcher
	pace       *pacer
	asynq      *asynq.Server
	calls      sync.WaitGroup
	hands      *hands.Hands
}

// Clients are the connections a server works with; all stay the caller's to close.
type Clients struct {
	// Commands is for everything but what follows.
	Commands redis.UniversalClient
	// Asynq is used by asynq alone and gets a hook. It must not repeat commands by itself (MaxRetries: -1): a dequeue
	// whose reply nobody reads takes a task that nobody runs.
	Asynq redis.UniversalClient
	// Listen is used for blocking reads alone; stopping closes it.
	Listen redis.UniversalClient
}

// NewServer returns a server; it takes nothing until [Server.Run].
func NewServer(c Clients, cfg ServerConfig, log *slog.Logger) *Server {
	if cfg.Gate == nil {
		cfg.Gate = openGate{}
	}
	pictures := newSlots(c.Commands, cfg.Concurrency, limits{all: cfg.GlobalLimit, upstreams: cfg.Upstreams}, wakeKey)
	d := newDispatcher(c, cfg, pictures, newSlots(c.Commands, deliverySlots, limits{}, wakeOfKey(job.WebhookQueue)), log)
	c.Asynq.AddHook(d)
	queues := map[string]int{job.WebhookQueue: 1} // weights, which decide nothing: the dispatcher does
	for _, lane := range d.lanes {
		for _, q := range lane {
			queues[q] = 1
		}
	}
	return &Server{
		cfg: cfg, log: log, dispatcher: d, hands: hands.New(),
		pace: &pacer{client: c.Commands, self: pictures.self, slots: cfg.Concurrency, limit: cfg.GlobalLimit, limits: cfg.Upstreams, marks: cfg.Marks},
		asynq: asynq.NewServerFromRedisClient(c.Asynq, asynq.Config{
			Concurrency: d.asynqSlots,
			Queues:      queues, TaskCheckInterval: pollInterval, DelayedTaskCheckInterval: delayedInterval,
			JanitorInterval: janitorInterval, RetryDelayFunc: retryDelay, IsFailure: isFailure,
			ShutdownTimeout: cfg.ShutdownTimeout + abortGrace, Logger: asynqLogger{log}, LogLevel: asynq.WarnLevel,
		}),
	}
}

// Run takes tasks until ctx ends, then lets running calls go on for the shutdown timeout, cuts off the rest, and returns
// when every handler has.
func (s *Server) Run(ctx context.Context, h Handlers) error {
	base := context.WithoutCancel(ctx)
	calls, cut := context.WithCancelCause(base)
	defer cut(nil)
	if h.Webhook == nil {
		s.dispatcher.deliveries = newSlots(s.dispatcher.redis, 0, limits{}, wakeOfKey(job.WebhookQueue))
	}
	if err := s.asynq.Start(asynq.HandlerFunc(func(lease context.Context, t *asynq.Task) error {
		return s.process(lease, calls, t, h)
	})); err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	renewing, stopRenewing := context.WithCancel(base)
	var renewal sync.WaitGroup
	renewal.Go(func() { s.renew(renewing) })

	<-ctx.Done()
	s.dispatcher.shut()
	timer := time.AfterFunc(s.cfg.ShutdownTimeout, func() { cut(ErrStopping) })
	s.asynq.Stop() // it asks for no more
	s.dispatcher.giveBack(base)
	s.asynq.Shutdown()
	s.calls.Wait()
	timer.Stop()
	stopRenewing()
	renewal.Wait()
	s.pace.forget(base)
	return nil
}

// renew keeps what this process says in Redis of itself, its slots and its pace, until ctx ends.
func (s *Server) renew(ctx context.Context) {
	tick := time.NewTicker(slotRenewal)
	defer tick.Stop()
	for {
		s.pace.publish(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.dispatcher.slots.renew(ctx)
		}
	}
}

// process runs the handler on the calls' context and waits for it, or for asynq to give the task up. asynq's goroutine is new
// and has a small stack: everything else is done on another one.
func (s *Server) process(lease, calls context.Context, t *asynq.Task, h Handlers) error {
	defer s.dispatcher.handed.Add(-1)
	id, _ := asynq.GetTaskID(lease)
	name, _ := asynq.GetQueueName(lease)
	slot := s.dispatcher.claim(id)
	done := make(chan error, 1)
	s.calls.Add(1)
	s.hands.Go(func() {
		defer s.calls.Done()
		task, err := decodeTask(t.Type(), t.Payload(), name)
		if err != nil {
			slot.release(calls)
			done <- fmt.Errorf("%w: %w", asynq.SkipRetry, err)
			return
		}
		errand, handle := s.errand(calls, task, slot), h.Picture
		if task.IsWebhook() {
			handle = h.Webhook
		}
		defer errand.CallEnded()
		done <- s.guard(calls, errand, handle)
	})
	select {
	case err := <-done:
		if errors.Is(err, ErrArchive) {
			return fmt.Errorf("%w: %w", asynq.SkipRetry, err)
		}
		return err
	case <-lease.Done():
		return context.Cause(lease)
	}
}

// errand returns a task that was taken with its slot.
func (s *Server) errand(ctx context.Context, t job.Task, x *slot) Errand {
	e, began := Errand{Task: t}, time.Now()
	if x != nil {
		e.Diverted, e.Probe, e.Begun = x.diverted, x.probe, x.began.begun()
	}
	e.CallEnded = sync.OnceFunc(func() {
		if !e.Diverted && !t.IsWebhook() {
			s.pace.observe(t.Upstream(), time.Since(began))
		}
		x.release(ctx)
	})
	return e
}

// guard turns a handler's panic into an error.
func (s *Server) guard(ctx context.Context, e Errand, h Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "task handler panicked", slog.String("job_id", string(e.Job)), slog.Int("image", e.Image),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			if s.cfg.OnPanic != nil {
				s.cfg.OnPanic()
			}
			err = errors.New("handler panicked")
		}
	}()
	return h(ctx, e)
}

// retryDelay is asynq's question when a task comes again. asynq keeps the time in whole seconds, rounded down: round up.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	if errors.Is(err, asynq.ErrLeaseExpired) {
		return leaseRetryDelay
	}
	retry, ok := errors.AsType[*RetryError](err)
	if !ok {
		return faultRetryDelay
	}
	if retry.After <= 0 {
		return 0
	}
	now := time.Now()
	at := now.Add(retry.After)
	if whole := at.Truncate(time.Second); whole.Before(at) {
		at = whole.Add(time.Second)
	}
	return at.Sub(now)
}

// isFailure keeps planned returns out of asynq's count of failures, which would archive the task in the end.
func isFailure(err error) bool {
	if errors.Is(err, asynq.ErrLeaseExpired) {
		return false
	}
	_, planned := errors.AsType[*RetryError](err)
	return !planned
}

// asynqLogger hands asynq's messages to slog.
type asynqLogger struct{ log *slog.Logger }

func (l asynqLogger) write(level slog.Level, args []any) {
	l.log.Log(context.Background(), level, "asynq", slog.String("text", fmt.Sprint(args...)))
}

// Debug logs for asynq.
func (l asynqLogger) Debug(args ...any) { l.write(slog.LevelDebug, args) }

// Info logs for asynq.
func (l asynqLogger) Info(args ...any) { l.write(slog.LevelInfo, args) }

// Warn logs for asynq. asynq warns of each task that is archived, which the worker has logged with its reason: debug.
func (l asynqLogger) Warn(args ...any) { l.write(slog.LevelDebug, args) }

// Error logs for asynq.
func (l asynqLogger) Error(args ...any) { l.write(slog.LevelError, args) }

// Fatal logs for asynq, which does not call it.
func (l asynqLogger) Fatal(args ...any) { l.write(slog.LevelError, args) }
