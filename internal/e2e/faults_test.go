package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// recovery is what the gateway promises after the death of a worker.
const recovery = 150 * time.Second

// slowFirst makes the first call take its time; later ones are quick.
func slowFirst(d time.Duration) func(simupstream.Request) simupstream.Behaviour {
	return func(r simupstream.Request) simupstream.Behaviour {
		if r.Call == 1 {
			return simupstream.Behaviour{Latency: d}
		}
		return simupstream.Behaviour{}
	}
}

func (g *gateway) waitForCall() {
	g.t.Helper()
	waitUntil(g.t, "the upstream is called", patience, func() bool { return g.upstream.Calls() > 0 })
}

// The picture of a worker that is killed in mid-call is drawn by another one, and its waiting caller gets it.
func TestWorkerKilledInMidCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{upstream: simupstream.Config{Behave: slowFirst(time.Hour)}})
	call := g.goChat("a cat")
	g.waitForCall()
	g.worker.kill()
	died := time.Now()
	g.startWorker()
	g.wantPicture(call, recovery)
	t.Logf("drawn elsewhere %v after the kill", time.Since(died).Round(time.Second))
	if n := g.upstream.Calls(); n != 2 {
		t.Errorf("%d upstream calls, want the one that was cut off and one more", n)
	}
}

// A record whose API died before it queued the job's tasks is all that is needed.
func TestAPIKilledBeforeItQueuedTheTasks(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{})
	store := job.NewStore(g.redis(), time.Hour)
	id := job.NewID()
	model := imagegen.DefaultModel()
	prompt := "a cat"
	spec, err := model.NewSpec(imagegen.Params{Prompt: prompt}, func() uint32 { return 7 })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), id, job.New{Owner: "gone", Spec: spec, Class: job.ClassInteractive}, []string{job.QueueName(spec.Upstreams[0], job.LaneExpress)}, ""); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	waitUntil(t, "the sweeper has the job drawn", 90*time.Second, func() bool {
		j, err := store.Get(t.Context(), id)
		return err == nil && j.Status == job.StatusCompleted
	})
	t.Logf("completed %v after it was recorded", time.Since(began).Round(time.Second))
}

// A stall of Redis, longer than asynq's lease, neither aborts the picture that is being drawn nor draws it twice.
func TestRedisFrozenWhileAPictureIsDrawn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{AppendOnly: true})
	g := newGateway(t, setup{redisURL: server.URL(), upstream: simupstream.Config{Latency: 10 * time.Second}})
	call := g.goChat("a cat")
	g.waitForCall()
	server.Freeze()
	frozen := time.NewTimer(45 * time.Second)
	defer frozen.Stop()
	select {
	case l := <-call:
		t.Fatalf("the caller was answered while Redis was frozen: %d %s (%v)", l.reply.status, l.reply.body, l.err)
	case <-frozen.C:
	}
	server.Thaw()
	thawed := time.Now()
	g.wantPicture(call, patience)
	t.Logf("answered %v after the thaw", time.Since(thawed).Round(time.Millisecond))
	// asynq brings the task again a while after the thaw; nothing may come of it.
	again := time.NewTimer(100 * time.Second)
	defer again.Stop()
	<-again.C
	if n := g.upstream.Calls(); n != 1 {
		t.Errorf("%d upstream calls, want 1", n)
	}
}

// While Redis is gone new calls are refused within two seconds, waiting ones wait, and nothing needs a restart.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{AppendOnly: true})
	g := newGateway(t, setup{redisURL: server.URL(), upstream: simupstream.Config{Latency: 2 * time.Second}})
	waiting := g.goChat("a cat")
	g.waitForCall()
	server.Kill()
	for range 3 {
		began := time.Now()
		r := g.do(http.MethodPost, "/v1/chat/completions", chat("another"))
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the refusal took %v", took)
		}
		if r.status != http.StatusServiceUnavailable || !strings.Contains(string(r.body), "queue_unavailable") || r.header.Get("Retry-After") == "" {
			t.Errorf("refused with %d %v %s", r.status, r.header, r.body)
		}
	}
	if status := g.ready(); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz = %d while Redis is gone", status)
	}
	server.Restart()
	g.wantPicture(waiting, patience)
	waitUntil(t, "the API is ready again", patience, func() bool { return g.ready() == http.StatusOK })
	g.wantPicture(g.goChat("a third"), patience)
	if n := g.upstream.Calls(); n != 2 {
		t.Errorf("%d upstream calls, want one for each accepted job", n)
	}
}

func (g *gateway) ready() int {
	g.t.Helper()
	resp, err := http.Get(g.admin + "/readyz") //nolint:noctx // a probe
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the status matters
	return resp.StatusCode
}

// Scripts that Redis has forgotten, and a Redis that was restarted, cost no slot and no speed.
func TestRedisForgets(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{AppendOnly: true})
	g := newGateway(t, setup{redisURL: server.URL(), workerEnv: []string{"WORKER_CONCURRENCY=1", "UPSTREAM_MAX_CONCURRENCY=1"}})
	admin := g.redis()
	fastest := func(when string) {
		t.Helper()
		best := time.Hour
		for range 10 {
			began := time.Now()
			g.wantPicture(g.goChat("a cat"), patience)
			best = min(best, time.Since(began))
		}
		t.Logf("%s: %v", when, best)
		if best > 250*time.Millisecond {
			t.Errorf("%s the fastest of ten calls took %v: the worker polls", when, best)
		}
	}
	fastest("at first")
	for range 3 {
		if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		g.wantPicture(g.goChat("a cat"), patience)
	}
	fastest("after SCRIPT FLUSH")
	server.Restart()
	waitUntil(t, "the API is ready again", patience, func() bool { return g.ready() == http.StatusOK })
	fastest("after a restart of Redis")
	if n := admin.ZCard(t.Context(), "zimage:{dispatch}:slots").Val(); n > 1 {
		t.Errorf("%d slots are taken", n)
	}
}

// One limit over three workers: never more calls at once, and seldom fewer while jobs wait. How seldom is measured in time,
// so nothing runs beside it.
func TestUpstreamLimitOverWorkers(t *testing.T) { //nolint:paralleltest // see above
	const limit, jobs = 3, 60
	g := newGateway(t, setup{
		workerEnv: []string{"WORKER_CONCURRENCY=10", "UPSTREAM_MAX_CONCURRENCY=3"},
		upstream:  simupstream.Config{Latency: 500 * time.Millisecond},
	})
	g.startWorker()
	g.startWorker()
	began := time.Now()
	calls := make([]<-chan later, jobs)
	for i := range calls {
		calls[i] = g.goChat("a cat")
	}
	for _, c := range calls {
		g.wantPicture(c, time.Minute)
	}
	took := time.Since(began)
	if n := g.upstream.MaxInFlight(); n != limit {
		t.Errorf("the upstream saw %d calls at once, want exactly %d", n, limit)
	}
	levels := g.upstream.Occupancy()
	var busy time.Duration
	for level, d := range levels {
		if level > 0 {
			busy += d
		}
	}
	full := float64(levels[limit]) / float64(busy)
	ideal := jobs / limit * 500 * time.Millisecond
	t.Logf("%d at once %.0f %% of the time; %v in all, ideal %v (%.2f×)", limit, 100*full, took.Round(time.Millisecond), ideal, float64(took)/float64(ideal))
	if full < 0.8 {
		t.Errorf("%d calls at once only %.0f %% of the time", limit, 100*full)
	}
}

// Both processes start without Redis and need no restart when it comes.
func TestStartsBeforeRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	server.Kill()
	g := newGateway(t, setup{redisURL: server.URL()})
	if r := g.do(http.MethodPost, "/v1/chat/completions", chat("a cat")); r.status != http.StatusServiceUnavailable {
		t.Errorf("without Redis a call gets %d %s", r.status, r.body)
	}
	server.Restart()
	waitUntil(t, "the API is ready", patience, func() bool { return g.ready() == http.StatusOK })
	g.wantPicture(g.goChat("a cat"), patience)
}
