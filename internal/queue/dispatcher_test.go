package queue_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// stopwatch is a hook that sees each of asynq's dequeues and how long it was held before it was answered.
type stopwatch struct{ held chan time.Duration }

func (s stopwatch) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (s stopwatch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s stopwatch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		if took := time.Since(began); took > time.Second {
			s.held <- took
		}
		return err
	}
}

// asynq dates a task's lease of 30 s from the moment it asks for one. A task that is handed over when most of that is
// gone could not be ended: it would stay active until somebody finds it.
func TestDequeuesAreNotHeldForLong(t *testing.T) {
	t.Parallel()
	const most = 12 * time.Second // two waits of 5 s
	cases := map[string]func(c *queue.Client, started <-chan struct{}){
		"while nothing waits": func(*queue.Client, <-chan struct{}) {},
		"while every slot is in use": func(c *queue.Client, started <-chan struct{}) {
			enqueue(t, c, newTask(job.LaneExpress), newTask(job.LaneExpress))
			receive(t, started, "start")
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := redistest.URL(t)
			watch := stopwatch{held: make(chan time.Duration, 100)}
			dequeues := connect(t, url, noRepeats)
			dequeues.AddHook(watch)
			s := queue.NewServer(queue.Clients{
				Commands: connect(t, url), Asynq: dequeues, Listen: connect(t, url, noRepeats),
			}, queue.ServerConfig{Upstreams: map[string]int{"exacg": 0}, Concurrency: 1, ShutdownTimeout: time.Second}, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(context.Background())
			ended, started, release := make(chan error, 1), make(chan struct{}, 2), make(chan struct{})
			go func() {
				ended <- s.Run(ctx, queue.Handlers{Picture: func(context.Context, queue.Errand) error {
					started <- struct{}{}
					<-release
					return nil
				}})
			}()
			prepare(queue.NewClient(connect(t, url)), started)
			if took := receive(t, watch.held, "answer to a dequeue"); took > most {
				t.Errorf("a dequeue was held for %v, want at most %v", took, most)
			}
			close(release)
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// A queue paused from the dashboard costs no more than an empty one.
func TestPausedQueueIsCheap(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	admin := connect(t, server.URL())
	task := newTask(job.LaneExpress)
	enqueue(t, queue.NewClient(admin), task)
	inspector := asynq.NewInspectorFromRedisClient(connect(t, server.URL()))
	if err := inspector.PauseQueue(task.Queue); err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{}, 1)
	serve(t, server.URL(), queue.ServerConfig{}, func(context.Context, queue.Errand) error {
		ran <- struct{}{}
		return nil
	})
	waitUntil(t, "the server listens", func() bool { return admin.Exists(t.Context(), "asynq:servers").Val() == 1 })
	before := commands(t, admin)
	const span = 2 * time.Second
	<-time.After(span) // a rate over time is what is measured
	if rate := float64(commands(t, admin)-before) / span.Seconds(); rate > 60 {
		t.Errorf("a paused queue costs %.0f commands a second", rate)
	}
	if len(ran) > 0 {
		t.Error("a task of the paused queue ran")
	}
	if err := inspector.UnpauseQueue(task.Queue); err != nil {
		t.Fatal(err)
	}
	receive(t, ran, "run after the pause")
}
