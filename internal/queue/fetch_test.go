package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// takes is a hook that counts the round trips in which tasks are taken, and the tasks.
type takes struct{ trips chan int }

func (x takes) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (x takes) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (x takes) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		n, taking := 0, false
		for _, cmd := range cmds {
			if args := cmd.Args(); len(args) == 9 && strings.HasSuffix(fmt.Sprint(args[3]), ":pending") {
				if taking = true; cmd.Err() == nil {
					n++
				}
			}
		}
		if taking && !redis.HasErrorPrefix(err, "NOSCRIPT") {
			x.trips <- n
		}
		return err
	}
}

// A worker takes a task for each of its slots in one round trip, and no more than it has slots for.
func TestTasksAreTakenTogether(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	const slots, tasks = 6, 10
	client := queue.NewClient(connect(t, url))
	for range tasks {
		enqueue(t, client, newTask(job.LaneNormal))
	}
	seen := takes{trips: make(chan int, 100)}
	dequeues := connect(t, url, noRepeats)
	dequeues.AddHook(seen)
	s := queue.NewServer(queue.Clients{Commands: connect(t, url), Asynq: dequeues, Listen: connect(t, url, noRepeats)},
		queue.ServerConfig{Upstreams: map[string]int{"exacg": 0}, Concurrency: slots, ShutdownTimeout: time.Second}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended, started, release := make(chan error, 1), make(chan struct{}, tasks), make(chan struct{})
	go func() {
		ended <- s.Run(ctx, queue.Handlers{Picture: func(context.Context, queue.Errand) error {
			started <- struct{}{}
			<-release
			return nil
		}})
	}()
	if n := receive(t, seen.trips, "round trip"); n != slots {
		t.Errorf("the first round trip took %d tasks, want one for each of %d slots", n, slots)
	}
	for range slots {
		receive(t, started, "start")
	}
	if waiting := connect(t, url).LLen(t.Context(), "asynq:{exacg-normal}:pending").Val(); waiting != tasks-slots {
		t.Errorf("%d tasks wait, want %d", waiting, tasks-slots)
	}
	close(release)
	for range tasks - slots {
		receive(t, started, "start")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// looks is a hook that counts the round trips in which the queues are looked at.
type looks struct {
	redis.Hook
	n *atomic.Int32
}

func (x looks) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Name() == "llen" }) {
			x.n.Add(1)
		}
		return next(ctx, cmds)
	}
}

// Where more tasks wait than are taken at once, one look is enough for all: the next comes with the tasks.
func TestTheNextLookComesWithTheTasks(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	const most, tasks = 32, 3 * 32
	client := queue.NewClient(connect(t, url))
	for range tasks {
		enqueue(t, client, newTask(job.LaneNormal))
	}
	// Without tokens, which would be followed once nothing waits.
	if err := connect(t, url).Del(t.Context(), "zimage:{dispatch}:wake:exacg").Err(); err != nil {
		t.Fatal(err)
	}
	seen := takes{trips: make(chan int, tasks)}
	commands, dequeues := connect(t, url), connect(t, url, noRepeats)
	dequeues.AddHook(seen)
	var looked atomic.Int32
	commands.AddHook(looks{seen, &looked})
	s := queue.NewServer(queue.Clients{Commands: commands, Asynq: dequeues, Listen: connect(t, url, noRepeats)},
		queue.ServerConfig{Upstreams: map[string]int{"exacg": 0}, Concurrency: 2 * tasks, ShutdownTimeout: time.Second}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended, release := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- s.Run(ctx, queue.Handlers{Picture: func(context.Context, queue.Errand) error {
			<-release
			return nil
		}})
	}()
	for range tasks / most {
		if n := receive(t, seen.trips, "round trip"); n != most {
			t.Errorf("a round trip took %d tasks, want %d", n, most)
		}
	}
	if n := looked.Load(); n != 1 {
		t.Errorf("the queues were looked at %d times by themselves, want once", n)
	}
	// What comes once nothing waits is found all the same.
	enqueue(t, client, newTask(job.LaneNormal))
	if n := receive(t, seen.trips, "round trip"); n != 1 {
		t.Errorf("a round trip took %d tasks, want the last one", n)
	}
	close(release)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Tasks that were taken when the process is told to stop, and that asynq has not asked for, go back to their queue.
func TestWhatAsynqDoesNotAskForGoesBack(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		client := queue.NewClient(connect(t, url))
		tasks := []job.Task{newTask(job.LaneNormal), newTask(job.LaneNormal), newTask(job.LaneNormal)}
		enqueue(t, client, tasks...)
		queue.TakeAndStop(t.Context(), queue.Clients{
			Commands: connect(t, url), Asynq: connect(t, url, noRepeats), Listen: connect(t, url, noRepeats),
		}, len(tasks), queue.Begin{})
		admin := connect(t, url)
		if n := admin.LLen(t.Context(), "asynq:{exacg-normal}:active").Val() + admin.ZCard(t.Context(), "asynq:{exacg-normal}:lease").Val(); n != 0 {
			t.Errorf("%d traces of taken tasks are left", n)
		}
		inspector := asynq.NewInspectorFromRedisClient(admin)
		for _, task := range tasks {
			if info, err := inspector.GetTaskInfo(task.Queue, task.ID()); err != nil || info.State != asynq.TaskStatePending {
				t.Errorf("task is %v, %v; want pending", info, err)
			}
		}
		ran := make(chan job.Task, len(tasks))
		serve(t, url, queue.ServerConfig{}, func(_ context.Context, e queue.Errand) error {
			ran <- e.Task
			return nil
		})
		for range tasks {
			receive(t, ran, "run")
		}
	})
}

// Redis forgets scripts at a restart: tasks reach their queue all the same, and the handler.
func TestScriptsThatRedisForgot(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	admin := connect(t, server.URL())
	client := queue.NewClient(connect(t, server.URL()))
	ran := make(chan job.Task, 1)
	serve(t, server.URL(), queue.ServerConfig{}, func(_ context.Context, e queue.Errand) error {
		ran <- e.Task
		return nil
	})
	for range 5 {
		if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		task := newTask(job.LaneExpress)
		enqueue(t, client, task)
		if got := receive(t, ran, "run"); got != task {
			t.Errorf("ran %v, want %v", got, task)
		}
	}
}

// What tokens are left over when workers found the tasks before them are cleared, and no task is forgotten with them.
func TestOldTokens(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	admin := connect(t, server.URL())
	list := "zimage:{dispatch}:wake:exacg"
	for range 200 {
		if err := admin.LPush(t.Context(), list, "exacg-normal").Err(); err != nil {
			t.Fatal(err)
		}
	}
	ran := make(chan struct{}, 1)
	for range 2 {
		serve(t, server.URL(), queue.ServerConfig{Concurrency: 1}, func(context.Context, queue.Errand) error {
			ran <- struct{}{}
			return nil
		})
	}
	waitUntil(t, "the old tokens are gone", func() bool { return admin.LLen(t.Context(), list).Val() == 0 })
	client := queue.NewClient(connect(t, server.URL()))
	for range 20 {
		enqueue(t, client, newTask(job.LaneNormal))
		receive(t, ran, "run")
	}
}
