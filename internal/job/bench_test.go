package job_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// noQueue takes every task and keeps none.
type noQueue struct{}

func (noQueue) Enqueue(context.Context, ...job.Task) error { return nil }
func (noQueue) Insert(context.Context, []job.Task, ...string) (job.Insert, error) {
	return job.Insert{Lua: "local function enqueue() end\n"}, nil
}
func (noQueue) Remove(context.Context, ...job.Task) error { return nil }
func (noQueue) Outlook(_ context.Context, tasks ...job.Task) ([]int, job.Paces, error) {
	return make([]int, len(tasks)), job.Paces{}, nil
}

// benchmark is a service that has no limits.
type benchmark struct {
	client  redis.UniversalClient
	store   *job.Store
	service *job.Service
}

func newBenchmark(b *testing.B, client redis.UniversalClient, q job.Queue) benchmark {
	b.Helper()
	store, log := job.NewStore(client, time.Hour), slog.New(slog.DiscardHandler)
	return benchmark{client, store, job.NewService(store, job.NewWatcher(client, store, log), q, job.NewRateLimiter(client),
		job.ServiceConfig{MaxPending: 1 << 30}, noMetrics{}, log)}
}

func (m benchmark) submit(b *testing.B, n job.New) job.Job {
	b.Helper()
	sub, err := m.service.Submit(b.Context(), n)
	if err != nil {
		b.Fatal(err)
	}
	return sub.Job
}

// BenchmarkRecord is what a job's record costs from its making to its end.
func BenchmarkRecord(b *testing.B) {
	m := newBenchmark(b, connect(b, redistest.URL(b)), noQueue{})
	task := func() job.Task {
		j := m.submit(b, newJob(1))
		return job.Task{Job: j.ID, Queue: j.Pictures[0].Queue, Owner: j.Owner}
	}
	start := func(t job.Task) {
		if s, err := m.store.Start(b.Context(), t, "call", "exacg", options); err != nil || s.Verdict != job.StartGo {
			b.Fatal(s.Verdict, err)
		}
	}
	finish := func(t job.Task) {
		if end, err := m.store.Finish(b.Context(), t, "call", done(1)); err != nil || end.Status != job.StatusCompleted {
			b.Fatal(end, err)
		}
	}
	b.Run("submit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.submit(b, newJob(1))
		}
	})
	b.Run("start", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			t := task()
			b.StartTimer()
			start(t)
		}
	})
	b.Run("finish", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			t := task()
			start(t)
			b.StartTimer()
			finish(t)
		}
	})
	ended := task()
	start(ended)
	finish(ended)
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.store.Get(b.Context(), ended.Job); err != nil {
				b.Fatal(err)
			}
		}
	})
	fields, err := m.client.HGetAll(b.Context(), recordOf(ended.Job)).Result()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := job.Decode(ended.Job, fields); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func recordOf(id job.ID) string { return "zimage:job:{" + string(id) + "}" }

// depths are how many jobs wait.
var depths = []int{10, 1000, 100_000}

// BenchmarkDepth is what a client's calls cost where many jobs wait; its figures should not depend on the depth.
func BenchmarkDepth(b *testing.B) {
	if testing.Short() {
		b.Skip("lays out 100,000 jobs")
	}
	for _, depth := range depths {
		b.Run(strconv.Itoa(depth), func(b *testing.B) {
			client := connect(b, redistest.URL(b))
			m := newBenchmark(b, client, queue.NewClient(client))
			ids := m.deepen(b, depth)
			poll := func(b *testing.B, id job.ID) {
				b.Helper()
				b.ReportAllocs()
				m.measure(b, func() {
					j, err := m.service.Get(b.Context(), "owner", id)
					if err != nil {
						b.Fatal(err)
					}
					if o, err := m.service.Outlook(b.Context(), j); err != nil || o[0].Position == 0 {
						b.Fatal(o, err)
					}
				})
			}
			b.Run("poll the next", func(b *testing.B) { poll(b, ids[0]) })
			b.Run("poll in the middle", func(b *testing.B) { poll(b, ids[depth/2]) })
			b.Run("poll the last", func(b *testing.B) { poll(b, ids[depth-1]) })
			b.Run("list ten", func(b *testing.B) {
				b.ReportAllocs()
				m.measure(b, func() {
					jobs, _, err := m.service.List(b.Context(), "owner", job.ListQuery{Limit: 10})
					if err != nil || len(jobs) != 10 {
						b.Fatal(len(jobs), err)
					}
					if _, err := m.service.Outlook(b.Context(), jobs...); err != nil {
						b.Fatal(err)
					}
				})
			})
			b.Run("submit", func(b *testing.B) { // the last: it makes the queue longer
				b.ReportAllocs()
				m.measure(b, func() { m.submit(b, waitingJob()) })
			})
		})
	}
}

// BenchmarkSweep is one sweep past so many waiting jobs, and what a call has to wait for Redis meanwhile.
func BenchmarkSweep(b *testing.B) {
	if testing.Short() {
		b.Skip("lays out 100,000 jobs")
	}
	for _, depth := range depths {
		b.Run(strconv.Itoa(depth), func(b *testing.B) {
			client := connect(b, redistest.URL(b))
			q := queue.NewClient(client)
			m := newBenchmark(b, client, q)
			m.deepen(b, depth)
			sweeper := job.NewSweeper(m.store, q, slog.New(slog.DiscardHandler))
			stop := m.pings(b)
			m.measure(b, func() {
				if err := sweeper.Sweep(b.Context(), time.Minute); err != nil {
					b.Fatal(err)
				}
			})
			pings := stop()
			b.ReportMetric(float64(pings[len(pings)/2].Microseconds()), "median-ping-µs")
			b.ReportMetric(float64(pings[len(pings)*99/100].Microseconds()), "p99-ping-µs")
		})
	}
}

// pings asks Redis for an answer every millisecond until stop is called, which returns how long each took, sorted.
func (m benchmark) pings(b *testing.B) (stop func() []time.Duration) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for len(took) == 0 || ctx.Err() == nil {
			<-tick.C
			began := time.Now()
			if m.client.Ping(context.WithoutCancel(ctx)).Err() == nil {
				took = append(took, time.Since(began))
			}
		}
		slices.Sort(took)
		ended <- took
	}()
	return func() []time.Duration {
		cancel()
		return <-ended
	}
}

// measure runs the turns of a benchmark, and reports the time that Redis itself took.
func (m benchmark) measure(b *testing.B, turn func()) {
	b.Helper()
	before := m.redisTime(b)
	for b.Loop() {
		turn()
	}
	b.ReportMetric(float64((m.redisTime(b)-before).Microseconds())/float64(b.N), "redis-µs/op")
}

// redisTime is how much of a processor Redis has used.
func (m benchmark) redisTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	info, err := m.client.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			d, err := time.ParseDuration(value + "s")
			if err != nil {
				b.Fatal(err)
			}
			sum += d
		}
	}
	return sum
}

// waitingJob is one that goes where a key's many jobs go.
func waitingJob() job.New {
	n := newJob(1)
	n.Class = job.ClassBatch
	return n
}

// deepen makes jobs wait, the next one first, by copying one in every key where it stands.
func (m benchmark) deepen(b *testing.B, depth int) []job.ID {
	b.Helper()
	for range 20 { // beyond the lanes of a key's first jobs
		m.submit(b, waitingJob())
	}
	first := m.submit(b, waitingJob())
	q := "asynq:{" + first.Pictures[0].Queue + "}:"
	db := m.client.(*redis.Client).Options().DB //nolint:errcheck,forcetypeassert // redistest has single servers only
	ids := make([]job.ID, depth)
	began := time.Now().Add(-time.Hour)
	numbers := make([]int, depth)
	for i := range numbers {
		ids[i], numbers[i] = job.NewID(), i
	}
	for some := range slices.Chunk(numbers, 500) {
		if _, err := m.client.Pipelined(b.Context(), func(pipe redis.Pipeliner) error {
			for _, i := range some {
				id, at := string(ids[i]), began.Add(time.Duration(i)*time.Millisecond)
				listed := redis.Z{Score: float64(at.UnixMilli()), Member: id}
				pipe.Copy(b.Context(), recordOf(first.ID), recordOf(ids[i]), db, false)
				pipe.ZAdd(b.Context(), "zimage:jobs:open", listed)
				pipe.ZAdd(b.Context(), "zimage:jobs:of:owner", listed)
				waits := redis.Z{Score: listed.Score, Member: "owner/" + id + "/0"}
				pipe.ZAdd(b.Context(), "zimage:{admission}:waiting", waits)
				waits.Score = -waits.Score
				pipe.ZAdd(b.Context(), "zimage:{admission}:waiting:owner", waits)
				pipe.Copy(b.Context(), q+"t:"+string(first.ID)+"/0/0", q+"t:"+id+"/0/0", db, false)
				pipe.HSet(b.Context(), q+"t:"+id+"/0/0", "pending_since", at.UnixNano())
				pipe.LPush(b.Context(), q+"pending", id+"/0/0")
			}
			return nil
		}); err != nil {
			b.Fatal(fmt.Errorf("lay out %d jobs: %w", depth, err))
		}
	}
	return ids
}
