package queue_test

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// trips counts round trips and the commands in them.
type trips struct{ trips, commands atomic.Int64 }

func (c *trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.trips.Add(1)
		c.commands.Add(1)
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.trips.Add(1)
		c.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		client := queue.NewClient(raw)
		var express, bulk []job.Task
		for range 3 {
			express = append(express, newTask(job.LaneExpress))
		}
		for range 2 {
			bulk = append(bulk, newTask(job.LaneBulk))
		}
		other := job.Task{Job: job.NewID(), Queue: job.QueueName("other", job.LaneBulk)}
		first, second := job.WebhookTask(job.NewID()), job.WebhookTask(job.NewID())
		enqueue(t, client, express...)
		enqueue(t, client, bulk...)
		enqueue(t, client, express...) // twice is once
		enqueue(t, client, other, first, second)
		if _, _, err := client.Outlook(t.Context(), express[0]); err != nil { // Redis gets to know the script
			t.Fatal(err)
		}
		var count trips
		raw.AddHook(&count)
		got, _, err := client.Outlook(t.Context(),
			newTask(job.LaneFast), express[0], express[2], bulk[0], bulk[1], other, first, second, newTask(job.LaneBulk))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, []int{0, 1, 3, 4, 5, 1, 1, 2, 0}); diff != "" {
			t.Errorf("places (-got +want):\n%s", diff)
		}
		// One for each queue with tasks that are asked about; two lanes of one upstream and four of the other before these; the pace; all that wait.
		if trips, n := count.trips.Load(), count.commands.Load(); trips != 1 || n != 5+2+4+1+1 {
			t.Errorf("%d commands in %d round trips, want 13 in 1", n, trips)
		}
	})
}

// The places behind the first 200 are told from the times that asynq keeps: this fails when an upgrade no longer does.
func TestPlacesOfMany(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		client := queue.NewClient(connect(t, url))
		const n = 300
		var tasks []job.Task
		for range n {
			tasks = append(tasks, newTask(job.LaneSlow))
		}
		enqueue(t, client, tasks...)
		places, pace, err := client.Outlook(t.Context(), tasks...)
		if err != nil {
			t.Fatal(err)
		}
		for i, place := range places {
			if want := i + 1; place != want && (want <= exactPlaces || place <= exactPlaces || place < want-3 || place > want+3) {
				t.Errorf("place of task %d = %d", i, place)
			}
		}
		if places[n-1] != n {
			t.Errorf("place of the last task = %d", places[n-1])
		}
		if pace.All != (job.Pace{}) || len(pace.Of) != 0 {
			t.Errorf("pace = %+v without a worker", pace)
		}
	})
}

// A task that does not wait is answered with nil, which is what a pipeline reports first; a failure after it counts.
func TestOutlookFails(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		if err := raw.Set(t.Context(), "asynq:{"+job.QueueName("exacg", job.LaneExpress)+"}:pending", "no list", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if places, _, err := queue.NewClient(raw).Outlook(t.Context(), newTask(job.LaneFast)); err == nil {
			t.Errorf("places = %v, want an error", places)
		}
	})
}

const paceKey = "zimage:{dispatch}:pace"

func TestWorkersTellTheirPace(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		client := queue.NewClient(raw)
		soon, past := time.Now().Add(time.Minute).UnixMilli(), time.Now().Add(-2*time.Minute).UnixMilli()
		if err := raw.HSet(t.Context(), paceKey,
			"dead", "100 1 5 100 "+strconv.FormatInt(past, 10), "odd", "fast", "peer", "2 0 10000 1 "+strconv.FormatInt(soon, 10),
		).Err(); err != nil {
			t.Fatal(err)
		}
		pace := func() job.Pace {
			t.Helper()
			_, paces, err := client.Outlook(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return paces.All
		}
		if got, want := pace(), (job.Pace{Slots: 2, Call: 10 * time.Second}); got != want {
			t.Errorf("pace of the peer = %+v, want %+v", got, want)
		}
		const call = 100 * time.Millisecond
		ran := make(chan struct{}, 10)
		draw := func(context.Context, queue.Errand) error {
			<-time.After(call)
			ran <- struct{}{}
			return nil
		}
		if s, err := client.Served(t.Context()); len(s.Upstreams) != 0 || err != nil {
			t.Errorf("some worker says what it serves: %v (%v)", s, err)
		}
		stop := serve(t, url, queue.ServerConfig{Concurrency: 4, GlobalLimit: 5}, draw)
		waitUntil(t, "the worker is counted, up to the limit", func() bool { return pace().Slots == 5 })
		waitUntil(t, "what dead workers said is gone", func() bool {
			return raw.HLen(t.Context(), paceKey).Val() == 2
		})
		if s, err := client.Served(t.Context()); err != nil || len(s.Upstreams) != 1 || s.Upstreams[0] != "exacg" || len(s.Disputed) != 0 {
			t.Errorf("served are %v (%v)", s, err)
		}
		for range 9 {
			enqueue(t, client, newTask(job.LaneExpress))
		}
		for range 9 {
			receive(t, ran, "picture")
		}
		// One call of 10 s and nine of a tenth: 1.09 s.
		waitUntil(t, "its calls are counted", func() bool { c := pace().Call; return c > time.Second && c < 2*time.Second })
		stop()
		if got, want := pace(), (job.Pace{Slots: 2, Call: 10 * time.Second}); got != want {
			t.Errorf("pace after the worker stopped = %+v, want %+v", got, want)
		}
	})
}

// In a long queue tasks may be left of jobs that were cancelled: nobody is told to stand behind more than wait.
func TestNoPlaceIsBeyondAllThatWait(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		raw := connect(t, url)
		client := queue.NewClient(raw)
		l := newLine(t, url)
		l.come(slices.Repeat([]time.Time{time.Now()}, 1100)...)
		last := l.tasks[len(l.tasks)-1]
		if got := outlook(t, client, last)[0]; got != 1100 {
			t.Errorf("place = %d where nobody says what waits, want 1100", got)
		}
		for i := range 3 {
			if err := raw.ZAdd(t.Context(), "zimage:{admission}:waiting", redis.Z{Score: float64(i), Member: i}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if got := outlook(t, client, last, l.tasks[0]); got[0] != 3 || got[1] != 1 {
			t.Errorf("places = %v of the last task and the first, want 3 and 1", got)
		}
	})
}
