package queue_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

var rules = job.StartOptions{MarkTTL: time.Minute, MaxAttempts: 3, RepeatAmbiguous: true}

// newRecords returns the records on a server, and a function that makes one with its task, which waits in the queue.
func newRecords(t *testing.T, client redis.UniversalClient) (*job.Store, func() job.Task) {
	t.Helper()
	store, tasks := job.NewStore(client, time.Hour), queue.NewClient(client)
	return store, func() job.Task {
		t.Helper()
		task := newTask(job.LaneNormal)
		task.Owner = "digest"
		_, err := store.Create(t.Context(), task.Job, job.New{Owner: task.Owner, Class: job.ClassInteractive, Spec: imagegen.Spec{
			Model: "Z-Image", Upstreams: []string{"exacg"}, Prompt: "a cat", Width: 64, Height: 64, Seeds: []uint32{1},
		}}, []string{task.Queue}, "")
		if err != nil {
			t.Fatal(err)
		}
		enqueue(t, tasks, task)
		return task
	}
}

func begin(store *job.Store) queue.Begin {
	return queue.Begin{Records: store, Rules: map[string]job.StartOptions{"exacg": rules}}
}

func TestCallsBeginAsTheirTasksAreTaken(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		store, submit := newRecords(t, raw)
		got := make(chan queue.Errand, 10)
		serve(t, url, queue.ServerConfig{Begin: begin(store)}, func(_ context.Context, e queue.Errand) error {
			got <- e
			return nil
		})
		calls := make(map[string]bool)
		for range 5 {
			task := submit()
			e := receive(t, got, "task")
			if e.Task != task || e.Begun == nil || e.Begun.Verdict != job.StartGo || e.Begun.Spec.Prompt != "a cat" || e.Begun.Attempt != 1 {
				t.Fatalf("errand = %+v, begun %+v; want the call of %+v", e, e.Begun, task)
			}
			calls[e.Begun.CallID] = true
			j, err := store.Get(t.Context(), task.Job)
			if err != nil || j.Status != job.StatusInProgress || len(j.Calls) != 1 {
				t.Errorf("job = %+v, %v; want one call under way", j, err)
			}
			again, err := store.Start(t.Context(), task, e.Begun.CallID, "exacg", rules)
			if err != nil || again.Verdict != job.StartGo || again.Attempt != 1 {
				t.Errorf("asked again: %+v, %v", again, err)
			}
		}
		if len(calls) != 5 {
			t.Errorf("the calls' ids are %v", calls)
		}
		if err := raw.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if task, e := submit(), receive(t, got, "task after Redis forgot the script"); e.Task != task || e.Begun == nil {
			t.Errorf("errand = %+v; want that of %+v, begun", e, task)
		}
	})
}

// A call that may be held back, tries an upstream, is made elsewhere, or is not to be repeated, begins when it is made.
func TestCallsThatBeginLater(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		state     gateState
		elsewhere map[string][]string
		rules     map[string]job.StartOptions
	}{
		"held back":      {state: gateState{most: 2}},
		"a probe":        {state: gateState{probe: "probe", only: true}},
		"sent elsewhere": {state: gateState{until: time.Now().Add(time.Hour)}, elsewhere: map[string][]string{"exacg": {"local"}}},
		"no rules":       {state: gateState{most: -1}, rules: map[string]job.StartOptions{"local": rules}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := redistest.URL(t)
			store, submit := newRecords(t, connect(t, url))
			g, got := &gate{}, make(chan queue.Errand, 10)
			g.set("exacg", c.state)
			g.set("local", gateState{most: -1})
			b := begin(store)
			if c.rules != nil {
				b.Rules = c.rules
			}
			serve(t, url, queue.ServerConfig{
				Begin: b, Gate: g, Upstreams: map[string]int{"exacg": 0, "local": 0}, Elsewhere: c.elsewhere,
			}, func(_ context.Context, e queue.Errand) error {
				got <- e
				return nil
			})
			task := submit()
			if e := receive(t, got, "task"); e.Task != task || e.Begun != nil {
				t.Errorf("errand = %+v, begun %+v; want one whose call has not begun", e, e.Begun)
			}
			if j, err := store.Get(t.Context(), task.Job); err != nil || j.Status != job.StatusQueued || len(j.Calls) != 0 {
				t.Errorf("job = %+v, %v; want none that began", j, err)
			}
		})
	}
}

// wantNotMade checks that a job's call is as if it had never been made.
func wantNotMade(t *testing.T, raw redis.UniversalClient, store *job.Store, task job.Task) {
	t.Helper()
	j, err := store.Get(t.Context(), task.Job)
	if err != nil || len(j.Calls) != 1 || j.Calls[0].Outcome != job.CallFailed || j.Calls[0].Billed != imagegen.BilledNo {
		t.Errorf("job = %+v, %v; want a call for which nothing was sent", j, err)
	}
	if owner := raw.HGet(t.Context(), "zimage:job:{"+string(task.Job)+"}", "o0").Val(); owner != "" {
		t.Errorf("the picture is still %s's", owner)
	}
	for _, set := range []string{"zimage:{admission}:waiting", "zimage:{admission}:waiting:digest"} {
		if err := raw.ZScore(t.Context(), set, "digest/"+string(task.Job)+"/0").Err(); err != nil {
			t.Errorf("the picture does not wait in %s: %v", set, err)
		}
	}
}

// wantAgain checks that the task comes, and that its call begins as the first that counts, however often it began before.
func wantAgain(t *testing.T, e queue.Errand, task job.Task) {
	t.Helper()
	if e.Task != task || e.Begun == nil || e.Begun.Verdict != job.StartGo || e.Begun.Attempt != 2 || e.Begun.Counted != 1 {
		t.Errorf("errand = %+v, begun %+v; want the second call of %+v, and the first that counts", e, e.Begun, task)
	}
}

// A process that stops takes the calls back that began with tasks for which asynq has not asked.
func TestCallsOfTasksThatGoBack(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		store, submit := newRecords(t, raw)
		task := submit()
		queue.TakeAndStop(t.Context(), queue.Clients{
			Commands: connect(t, url), Asynq: connect(t, url, noRepeats), Listen: connect(t, url, noRepeats),
		}, 1, begin(store))
		wantNotMade(t, raw, store, task)
		got := make(chan queue.Errand, 1)
		serve(t, url, queue.ServerConfig{Begin: begin(store)}, func(_ context.Context, e queue.Errand) error {
			got <- e
			return nil
		})
		wantAgain(t, receive(t, got, "task"), task)
	})
}

// deaf is a hook that loses the replies to the first of the round trips in which tasks are taken.
type deaf struct{ lost atomic.Int32 }

func (*deaf) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (*deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (d *deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if last := cmds[len(cmds)-1]; last.Name() != "evalsha" || last.Err() != nil || d.lost.Add(1) > 1 {
			return err
		}
		for _, cmd := range cmds {
			cmd.SetErr(io.ErrUnexpectedEOF)
		}
		return io.ErrUnexpectedEOF
	}
}

// Where the reply is lost that tasks were taken and calls began, the process takes the calls back, and the tasks come again
// long before their leases run out.
func TestTasksTakenUnheard(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		store, submit := newRecords(t, raw)
		tasks := map[job.ID]job.Task{}
		for range 3 {
			task := submit()
			tasks[task.Job] = task
		}
		took, got := &deaf{}, make(chan queue.Errand, 3)
		dequeues := connect(t, url, noRepeats)
		dequeues.AddHook(took)
		s := queue.NewServer(queue.Clients{Commands: connect(t, url), Asynq: dequeues, Listen: connect(t, url, noRepeats)}, queue.ServerConfig{
			Upstreams: map[string]int{"exacg": 0}, Concurrency: 3, ShutdownTimeout: time.Second, Begin: begin(store),
		}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- s.Run(ctx, queue.Handlers{Picture: func(_ context.Context, e queue.Errand) error {
				got <- e
				return nil
			}})
		}()
		began := time.Now()
		for range tasks {
			e := receive(t, got, "task")
			wantAgain(t, e, tasks[e.Job])
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the tasks came after %v", took)
		}
		if took.lost.Load() < 2 {
			t.Error("no reply was lost")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A server that refuses the script lets tasks be taken all the same.
func TestCallsThatCannotBeginWithTheirTasks(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	store, submit := newRecords(t, connect(t, url))
	got := make(chan queue.Errand, 1)
	dequeues := connect(t, url, noRepeats)
	dequeues.AddHook(refusal{})
	s := queue.NewServer(queue.Clients{Commands: connect(t, url), Asynq: dequeues, Listen: connect(t, url, noRepeats)}, queue.ServerConfig{
		Upstreams: map[string]int{"exacg": 0}, Concurrency: 3, ShutdownTimeout: time.Second, Begin: begin(store),
	}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Run(ctx, queue.Handlers{Picture: func(_ context.Context, e queue.Errand) error {
			got <- e
			return nil
		}})
	}()
	task := submit()
	if e := receive(t, got, "task"); e.Task != task || e.Begun != nil {
		t.Errorf("errand = %+v, begun %+v", e, e.Begun)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// refusal is a hook that answers SCRIPT LOAD as a server does that cannot compile the script.
type refusal struct{}

func (refusal) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (refusal) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (refusal) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() != "script" {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds[1:] {
			cmd.SetErr(redis.ErrNoScript)
		}
		cmds[0].SetErr(refused{errors.New("ERR Error compiling script")})
		return cmds[0].Err()
	}
}

type refused struct{ error }

func (refused) RedisError() {}
