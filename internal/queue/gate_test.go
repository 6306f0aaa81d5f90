package queue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// gate holds back what it is told to. Its zero value holds nothing back.
type gate struct {
	mu    sync.Mutex
	state map[string]gateState
	given []string // back, by name of the probe
	looks int
}

type gateState struct {
	most  int
	since time.Time
	until time.Time
	probe string // may be claimed once
	only  bool   // a probe is under way, or may be claimed
}

func (g *gate) set(upstream string, s gateState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == nil {
		g.state = make(map[string]gateState)
	}
	g.state[upstream] = s
}

func (g *gate) Load(context.Context, redis.Pipeliner) func() {
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.looks++
	}
}

func (g *gate) Allow(upstream string) queue.Allowance {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.state[upstream]
	switch {
	case !ok:
		return queue.Allowance{Most: -1}
	case s.only && s.probe != "":
		return queue.Allowance{Most: 1, Probe: true}
	}
	return queue.Allowance{Most: s.most, Since: s.since, Until: s.until}
}

func (g *gate) Claim(_ context.Context, upstream string) (probe string, ok bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.state[upstream]
	probe = s.probe
	s.probe = ""
	g.state[upstream] = s
	return probe, probe != "", nil
}

// GiveBack lets the probe be claimed again, if one is still to be made.
func (g *gate) GiveBack(_ context.Context, upstream, probe string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.given = append(g.given, probe)
	if s := g.state[upstream]; s.only {
		s.probe = probe
		g.state[upstream] = s
	}
}

func (g *gate) givenBack() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.given...)
}

// awaitLooks waits until the server has looked twice again.
func (g *gate) awaitLooks(t *testing.T) {
	t.Helper()
	const n = 2
	count := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.looks
	}
	for start, deadline := count(), time.Now().Add(patience); count() < start+n; {
		if time.Now().After(deadline) {
			t.Fatalf("no %d looks within %v", n, patience)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Tasks of an upstream that is held back wait, and those of others do not.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		g, got := &gate{}, make(chan queue.Errand, 10)
		g.set("exacg", gateState{until: time.Now().Add(200 * time.Millisecond)})
		serve(t, url, queue.ServerConfig{Gate: g, Upstreams: map[string]int{"exacg": 0, "local": 0}}, func(_ context.Context, e queue.Errand) error {
			got <- e
			return nil
		})
		client := queue.NewClient(connect(t, url))
		enqueue(t, client, newTask(job.LaneExpress), newTask(job.LaneFast))
		other := job.Task{Job: job.NewID(), Queue: "local-bulk"}
		enqueue(t, client, other)
		if e := receive(t, got, "task of the other upstream"); e.Task != other {
			t.Fatalf("got %+v of the upstream that is held back", e)
		}
		g.set("exacg", gateState{until: time.Now().Add(time.Hour)}) // the pause is longer than was said
		g.awaitLooks(t)
		if len(got) != 0 {
			t.Fatalf("%d tasks were handed over", len(got))
		}
		g.set("exacg", gateState{most: -1})
		if err := client.Resume(t.Context(), "exacg"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 2 {
			if e := receive(t, got, "task that was held back"); e.Diverted || e.Probe != "" {
				t.Errorf("handed over as %+v", e)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the tasks came %v after the workers were woken", took)
		}
	})
}

// One task is handed over as the probe; the others wait for what becomes of it.
func TestOneProbeIsHandedOver(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		g, got, release := &gate{}, make(chan queue.Errand, 10), make(chan struct{})
		g.set("exacg", gateState{only: true, probe: "first", until: time.Now().Add(time.Hour)})
		serve(t, url, queue.ServerConfig{Gate: g}, func(_ context.Context, e queue.Errand) error {
			got <- e
			<-release
			return nil
		})
		client := queue.NewClient(connect(t, url))
		enqueue(t, client, newTask(job.LaneExpress), newTask(job.LaneExpress), newTask(job.LaneFast))
		if e := receive(t, got, "probe"); e.Probe != "first" {
			t.Fatalf("handed over as %+v, want the probe", e)
		}
		before := len(g.givenBack()) // asynq's first try is answered NOSCRIPT
		g.awaitLooks(t)
		if len(got) != 0 || len(g.givenBack()) != before {
			t.Fatalf("%d tasks beside the probe, given back: %v", len(got), g.givenBack())
		}
		g.set("exacg", gateState{most: -1})
		close(release)
		for range 2 {
			if e := receive(t, got, "task after the probe"); e.Probe != "" {
				t.Errorf("handed over as %+v", e)
			}
		}
		if given := g.givenBack(); len(given) != before+1 || given[before] != "first" {
			t.Errorf("given back: %v, want the probe once more than %d times", given, before)
		}
	})
}

// An upstream under suspicion gets few new calls at once, beside those it was sent before.
func TestFewAtOnce(t *testing.T) {
	t.Parallel()
	g, got, release := &gate{}, make(chan queue.Errand, 10), make(chan struct{})
	server := redistest.Start(t, redistest.Options{})
	serve(t, server.URL(), queue.ServerConfig{Gate: g, Concurrency: 8}, func(_ context.Context, e queue.Errand) error {
		got <- e
		<-release
		return nil
	})
	client := queue.NewClient(connect(t, server.URL()))
	for range 3 {
		enqueue(t, client, newTask(job.LaneNormal))
		receive(t, got, "task before")
	}
	g.set("exacg", gateState{most: 2, since: time.Now()})
	for range 4 {
		enqueue(t, client, newTask(job.LaneNormal))
	}
	receive(t, got, "task")
	receive(t, got, "second task")
	g.awaitLooks(t)
	if len(got) != 0 {
		t.Errorf("%d tasks too many at once", len(got))
	}
	close(release)
	for range 2 {
		receive(t, got, "task that waited")
	}
}

// Tasks of an upstream that is held back are handed over to be sent elsewhere, while some other takes calls.
func TestDiverted(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		g, got := &gate{}, make(chan queue.Errand, 10)
		held := gateState{until: time.Now().Add(time.Hour)}
		g.set("exacg", held)
		g.set("local", held)
		serve(t, url, queue.ServerConfig{
			Gate: g, Upstreams: map[string]int{"exacg": 0, "local": 0}, Elsewhere: map[string][]string{"exacg": {"local"}},
		}, func(_ context.Context, e queue.Errand) error {
			got <- e
			return nil
		})
		client := queue.NewClient(connect(t, url))
		enqueue(t, client, newTask(job.LaneExpress))
		g.awaitLooks(t)
		if len(got) != 0 {
			t.Fatal("a task was handed over although no upstream takes calls")
		}
		g.set("local", gateState{most: -1})
		if err := client.Resume(t.Context(), "local"); err != nil {
			t.Fatal(err)
		}
		if e := receive(t, got, "task to be sent elsewhere"); !e.Diverted || e.Upstream() != "exacg" {
			t.Errorf("handed over as %+v", e)
		}
	})
}

// Each upstream has a limit of its own over all workers, which its calls reach and never pass.
func TestUpstreamsHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	limits := map[string]int{"two": 2, "five": 5}
	calls := map[string]*gauge{"two": {}, "five": {}}
	done := make(chan string, 200)
	for range 3 {
		serve(t, server.URL(), queue.ServerConfig{Concurrency: 10, Upstreams: limits}, func(_ context.Context, e queue.Errand) error {
			g := calls[e.Upstream()]
			g.add(1)
			<-time.After(10 * time.Millisecond)
			g.add(-1)
			done <- e.Upstream()
			return nil
		})
	}
	client := queue.NewClient(connect(t, server.URL()))
	for i := range 70 {
		u := "five"
		if i%7 < 2 {
			u = "two"
		}
		enqueue(t, client, job.Task{Job: job.NewID(), Queue: job.QueueName(u, job.LaneNormal)})
	}
	for range 70 {
		receive(t, done, "call")
	}
	for u, limit := range limits {
		if most := calls[u].most; most != limit {
			t.Errorf("%s: %d calls at once, want %d", u, most, limit)
		}
	}
}

// Tasks that cannot go elsewhere go back to their queue: a scan takes each once, and all are there when the pause ends.
func TestTasksThatCannotGoElsewhere(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		const tasks = 5
		g, got := &gate{}, make(chan queue.Errand, 100)
		g.set("exacg", gateState{until: time.Now().Add(time.Hour)})
		raw := connect(t, url)
		client := queue.NewClient(raw)
		for range tasks {
			enqueue(t, client, newTask(job.LaneNormal))
		}
		serve(t, url, queue.ServerConfig{
			Gate: g, Upstreams: map[string]int{"exacg": 0, "local": 0}, Elsewhere: map[string][]string{"exacg": {"local"}},
		}, func(_ context.Context, e queue.Errand) error {
			got <- e
			if e.Diverted {
				return &queue.RetryError{Err: errors.New("there is no other upstream for it")}
			}
			return nil
		})
		for range tasks {
			if e := receive(t, got, "task to be sent elsewhere"); !e.Diverted {
				t.Fatalf("handed over as %+v", e)
			}
		}
		waitUntil(t, "all are back in their queue", func() bool { return raw.LLen(t.Context(), "asynq:{exacg-normal}:pending").Val() == tasks })
		if len(got) != 0 {
			t.Errorf("%d tasks were taken again at once", len(got))
		}
		// One that comes later is found by the next scan.
		enqueue(t, client, newTask(job.LaneFast))
		for e := receive(t, got, "later task"); e.Lane() != job.LaneFast; e = receive(t, got, "later task") {
		}
		g.set("exacg", gateState{most: -1})
		if err := client.Resume(t.Context(), "exacg"); err != nil {
			t.Fatal(err)
		}
		for began, done := time.Now(), 0; done <= tasks; {
			if e := receive(t, got, "task after the pause"); e.Diverted {
				continue // of the last scan
			}
			if done++; time.Since(began) > 5*time.Second {
				t.Fatalf("task %d came %v after the workers were woken", done, time.Since(began))
			}
		}
	})
}

// Tasks that turn out to be nothing, as those of cancelled jobs do, do not make what is behind them wait: the worker looks
// again as soon as one has ended, also where an upstream is sent few calls or one.
func TestTasksThatMakeNoCall(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]gateState{
		"few at once": {most: 2, since: time.Now().Add(-time.Hour)},
		"a probe":     {only: true, probe: "first", until: time.Now().Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				const tasks = 20
				g, got := &gate{}, make(chan queue.Errand, tasks)
				g.set("exacg", state)
				raw := connect(t, url)
				client := queue.NewClient(raw)
				for range tasks {
					enqueue(t, client, newTask(job.LaneNormal))
				}
				// In a long queue most have none.
				if n := raw.Del(t.Context(), "zimage:{dispatch}:wake:exacg").Val(); n != 1 {
					t.Fatal("there were no tokens")
				}
				began := time.Now()
				serve(t, url, queue.ServerConfig{Gate: g}, func(_ context.Context, e queue.Errand) error {
					<-time.After(10 * time.Millisecond) // the worker looks for others meanwhile
					got <- e
					return nil
				})
				for range tasks {
					receive(t, got, "task")
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%d tasks took %v", tasks, took)
				}
			})
		})
	}
}
