package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const patience = 30 * time.Second

func connect(t testing.TB, url string, tune ...func(*redis.UniversalOptions)) redis.UniversalClient {
	t.Helper()
	client, err := redisconn.New(url, tune...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func noRepeats(o *redis.UniversalOptions) { o.MaxRetries = -1 }

// serve runs a server until stop is called or the test ends; stop returns when the server has.
func serve(t testing.TB, url string, cfg queue.ServerConfig, picture queue.Handler) (stop func()) {
	t.Helper()
	return serveAll(t, url, cfg, queue.Handlers{Picture: picture})
}

// serveAll is serve with a handler for each kind of task.
func serveAll(t testing.TB, url string, cfg queue.ServerConfig, h queue.Handlers) (stop func()) {
	t.Helper()
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 4
	}
	if cfg.ShutdownTimeout == 0 {
		cfg.ShutdownTimeout = 10 * time.Second
	}
	if cfg.Upstreams == nil {
		cfg.Upstreams = map[string]int{"exacg": 0}
	}
	s := queue.NewServer(queue.Clients{
		Commands: connect(t, url), Asynq: connect(t, url, noRepeats), Listen: connect(t, url, noRepeats),
	}, cfg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, h) }()
	var once atomic.Bool
	stop = func() {
		cancel()
		if once.CompareAndSwap(false, true) {
			if err := <-ended; err != nil {
				t.Errorf("server: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func newTask(lane job.Lane) job.Task {
	return job.Task{Job: job.NewID(), Queue: job.QueueName("exacg", lane)}
}

func enqueue(t testing.TB, c *queue.Client, tasks ...job.Task) {
	t.Helper()
	if err := c.Enqueue(t.Context(), tasks...); err != nil {
		t.Fatal(err)
	}
}

// receive waits for the next value.
func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
	}
	panic("unreachable")
}

func TestTasksReachTheHandler(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		got := make(chan job.Task, 10)
		serve(t, url, queue.ServerConfig{}, func(_ context.Context, task queue.Errand) error {
			got <- task.Task
			return nil
		})
		client := queue.NewClient(connect(t, url))
		for _, lane := range job.Lanes() {
			want := newTask(lane)
			want.Image, want.Generation, want.Owner = 3, 2, "digest"
			enqueue(t, client, want)
			if task := receive(t, got, "task"); task != want {
				t.Errorf("handler got %+v, want %+v", task, want)
			}
		}
	})
}

// A wake-up takes well under the second that asynq's own polling takes, also for scripts that Redis has forgotten.
func TestDispatchIsEventDriven(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{AppendOnly: true})
	got := make(chan job.Task, 1)
	serve(t, server.URL(), queue.ServerConfig{Concurrency: 1, GlobalLimit: 1}, func(_ context.Context, task queue.Errand) error {
		got <- task.Task
		return nil
	})
	admin := connect(t, server.URL())
	client := queue.NewClient(connect(t, server.URL()))
	roundTrips := func(what string) {
		t.Helper()
		fastest := time.Hour
		for range 20 {
			began := time.Now()
			enqueue(t, client, newTask(job.LaneExpress))
			receive(t, got, "task "+what)
			fastest = min(fastest, time.Since(began))
		}
		if fastest > 200*time.Millisecond {
			t.Errorf("%s the fastest of 20 dispatches took %v: the worker polls", what, fastest)
		}
	}
	roundTrips("at first")
	if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	roundTrips("after SCRIPT FLUSH")
	server.Restart()
	waitUntil(t, "Redis is back", func() bool { return admin.Ping(t.Context()).Err() == nil })
	roundTrips("after a restart of Redis")
}

// waitUntil asks until the answer is yes.
func waitUntil(t testing.TB, what string, yes func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain until %s", patience, what)
		}
	}
}

// gauge keeps how long how many calls ran at once.
type gauge struct {
	mu      sync.Mutex
	running int
	most    int
	since   time.Time
	spent   map[int]time.Duration
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.spent == nil {
		g.spent = make(map[int]time.Duration)
	} else {
		g.spent[g.running] += time.Since(g.since)
	}
	g.since = time.Now()
	g.running += n
	g.most = max(g.most, g.running)
}

func TestGlobalLimitHoldsOverWorkers(t *testing.T) { //nolint:paralleltest // it measures time: nothing runs beside it
	redistest.Both(t, func(t *testing.T, url string) {
		const workers, limit, tasks = 3, 3, 45
		var calls gauge
		finished := make(chan struct{}, tasks)
		for range workers {
			serve(t, url, queue.ServerConfig{Concurrency: 10, GlobalLimit: limit}, func(context.Context, queue.Errand) error {
				calls.add(1)
				<-time.After(200 * time.Millisecond) // long beside what a busy machine takes to hand over a slot
				calls.add(-1)
				finished <- struct{}{}
				return nil
			})
		}
		client := queue.NewClient(connect(t, url))
		for range tasks {
			enqueue(t, client, newTask(job.LaneExpress))
		}
		for range tasks {
			receive(t, finished, "end of a task")
		}
		var total time.Duration
		for _, d := range calls.spent {
			total += d
		}
		full := float64(calls.spent[limit]) / float64(total)
		t.Logf("%d calls at once at the most, %d of them %.0f %% of the time", calls.most, limit, 100*full)
		if calls.most != limit {
			t.Errorf("%d calls at once, want exactly %d", calls.most, limit)
		}
		if full < 0.3 { // what a busy machine leaves of it; a slot that waits for the next look of an idle worker gives a tenth
			t.Errorf("the limit was used %.0f %% of the time: slots stand empty", 100*full)
		}
		admin := connect(t, url)
		waitUntil(t, "all slots are free", func() bool { return admin.ZCard(t.Context(), "zimage:{dispatch}:slots").Val() == 0 })
	})
}

func TestRetryComesAgainSoon(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		runs := make(chan time.Time, 10)
		var count atomic.Int64
		serve(t, url, queue.ServerConfig{}, func(context.Context, queue.Errand) error {
			runs <- time.Now()
			if count.Add(1) < 3 {
				return &queue.RetryError{After: 300 * time.Millisecond, Err: errors.New("not yet")}
			}
			return nil
		})
		enqueue(t, queue.NewClient(connect(t, url)), newTask(job.LaneExpress))
		last := receive(t, runs, "first run")
		// Twice, as the set may be looked at by chance, but not again within 5 s.
		for range 2 {
			next := receive(t, runs, "next run")
			// Whole seconds, rounded up, and a question every second: at most 2.3 s.
			if pause := next.Sub(last); pause < 300*time.Millisecond || pause > 4*time.Second {
				t.Errorf("came again after %v, want 0.3 to 2.3 s", pause)
			}
			last = next
		}
	})
}

func TestEndsOfAHandler(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		handler queue.Handler
		state   asynq.TaskState
		gone    bool
	}{
		"success forgets the task":          {func(context.Context, queue.Errand) error { return nil }, 0, true},
		"an archived task stays to be seen": {func(context.Context, queue.Errand) error { return fmt.Errorf("%w: no", queue.ErrArchive) }, asynq.TaskStateArchived, false},
		"a fault comes again":               {func(context.Context, queue.Errand) error { return errors.New("bug") }, asynq.TaskStateRetry, false},
		"a panic comes again":               {func(context.Context, queue.Errand) error { panic("bug") }, asynq.TaskStateRetry, false},
	}
	redistest.Both(t, func(t *testing.T, url string) {
		inspector := asynq.NewInspectorFromRedisClient(connect(t, url))
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				ran := make(chan struct{}, 10)
				var panics atomic.Int64
				stop := serve(t, url, queue.ServerConfig{OnPanic: func() { panics.Add(1) }}, func(ctx context.Context, task queue.Errand) error {
					ran <- struct{}{}
					return c.handler(ctx, task)
				})
				task := newTask(job.LaneBulk)
				enqueue(t, queue.NewClient(connect(t, url)), task)
				receive(t, ran, "run")
				stop()
				info, err := inspector.GetTaskInfo(task.Queue, task.ID())
				if c.gone {
					if !errors.Is(err, asynq.ErrTaskNotFound) {
						t.Errorf("task is still there: %+v, %v", info, err)
					}
					return
				}
				if err != nil || info.State != c.state {
					t.Errorf("task = %+v, %v; want state %v", info, err, c.state)
				}
				if err := inspector.DeleteTask(task.Queue, task.ID()); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

func TestAnIdleServerStopsAtOnce(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		stop := serve(t, url, queue.ServerConfig{}, nil)
		admin := connect(t, url)
		waitUntil(t, "the server listens", func() bool { return admin.Exists(t.Context(), "asynq:servers").Val() == 1 })
		began := time.Now()
		stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}

func TestAStoppingServerLetsShortCallsEnd(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		started, ended := make(chan struct{}), make(chan error, 1)
		release := make(chan struct{})
		stop := serve(t, url, queue.ServerConfig{}, func(ctx context.Context, _ queue.Errand) error {
			close(started)
			<-release
			ended <- ctx.Err()
			return nil
		})
		enqueue(t, queue.NewClient(connect(t, url)), newTask(job.LaneExpress))
		receive(t, started, "start")
		time.AfterFunc(100*time.Millisecond, func() { close(release) })
		stop()
		if err := receive(t, ended, "end"); err != nil {
			t.Errorf("the call was cut off: %v", err)
		}
	})
}

func TestAStoppingServerHandsBackLongCalls(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		started, cause := make(chan struct{}), make(chan error, 1)
		stop := serve(t, url, queue.ServerConfig{ShutdownTimeout: 50 * time.Millisecond}, func(ctx context.Context, _ queue.Errand) error {
			close(started)
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return &queue.RetryError{Err: queue.ErrStopping}
		})
		task := newTask(job.LaneExpress)
		enqueue(t, queue.NewClient(connect(t, url)), task)
		receive(t, started, "start")
		stop()
		if err := receive(t, cause, "cause"); !errors.Is(err, queue.ErrStopping) {
			t.Errorf("cause = %v, want ErrStopping", err)
		}
		// It waits in its queue already: no other worker knows to look for it among the delayed ones.
		if places, _, err := queue.NewClient(connect(t, url)).Outlook(t.Context(), task); err != nil || places[0] != 1 {
			t.Errorf("place of the task that was handed back = %v, %v; want 1", places, err)
		}
		again := make(chan job.Task, 1)
		serve(t, url, queue.ServerConfig{}, func(_ context.Context, task queue.Errand) error {
			again <- task.Task
			return nil
		})
		if got := receive(t, again, "second run elsewhere"); got != task {
			t.Errorf("ran %+v, want %+v", got, task)
		}
	})
}

// Idle processes cost Redis next to nothing. Redis counts commands inside scripts too.
func TestIdleWorkerIsCheap(t *testing.T) { //nolint:paralleltest // it measures time: nothing runs beside it
	server := redistest.Start(t, redistest.Options{})
	serveAll(t, server.URL(), queue.ServerConfig{Concurrency: 10}, queue.Handlers{Webhook: func(context.Context, queue.Errand) error { return nil }})
	admin := connect(t, server.URL())
	waitUntil(t, "the server listens", func() bool { return admin.Exists(t.Context(), "asynq:servers").Val() == 1 })
	before := commands(t, admin)
	const span = 10 * time.Second
	<-time.After(span) // a rate over time is what is measured
	rate := float64(commands(t, admin)-before) / span.Seconds()
	t.Logf("%.1f commands a second", rate)
	if rate > 15 { // 10, and what the start cost that falls into the span
		t.Errorf("an idle worker costs %.1f commands a second, want at most 15 of the 25 that api and worker may", rate)
	}
}

func commands(t testing.TB, admin redis.UniversalClient) int64 {
	t.Helper()
	var total, n int64
	info, err := admin.InfoMap(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range info["Commandstats"] {
		if _, err := fmt.Sscanf(stat, "calls=%d", &n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}
