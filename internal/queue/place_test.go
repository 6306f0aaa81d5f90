package queue_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// exactPlaces is how many places are counted.
const exactPlaces = 200

// line is a queue laid out as asynq does it, with times of the test's own.
type line struct {
	tb     testing.TB
	client redis.UniversalClient
	queue  string
	tasks  []job.Task // that wait, the next one first
}

// newLine returns an empty line, on a client that sends nothing twice.
func newLine(tb testing.TB, url string) *line {
	tb.Helper()
	return &line{
		tb: tb, queue: job.QueueName("exacg", job.LaneBulk),
		client: connect(tb, url, noRepeats, func(o *redis.UniversalOptions) { o.ReadTimeout, o.WriteTimeout = patience, patience }),
	}
}

func (l *line) keys(t job.Task) (pending, task string) {
	prefix := "asynq:{" + l.queue + "}:"
	return prefix + "pending", prefix + "t:" + t.ID()
}

// come makes tasks wait that came at these times.
func (l *line) come(times ...time.Time) {
	l.tb.Helper()
	l.do(func(ctx context.Context, pipe redis.Pipeliner) {
		for _, at := range times {
			t := job.Task{Job: job.NewID(), Queue: l.queue}
			l.tasks = append(l.tasks, t)
			pending, task := l.keys(t)
			pipe.LPush(ctx, pending, t.ID())
			pipe.HSet(ctx, task, "state", "pending", "pending_since", at.UnixNano())
		}
	})
}

// take takes the next n tasks.
func (l *line) take(n int) {
	l.tb.Helper()
	l.do(func(ctx context.Context, pipe redis.Pipeliner) {
		for _, t := range l.tasks[:n] {
			pending, task := l.keys(t)
			pipe.RPop(ctx, pending)
			pipe.HSet(ctx, task, "state", "active")
			pipe.HDel(ctx, task, "pending_since")
		}
	})
	l.tasks = l.tasks[n:]
}

func (l *line) do(add func(context.Context, redis.Pipeliner)) {
	l.tb.Helper()
	if _, err := l.client.Pipelined(l.tb.Context(), func(pipe redis.Pipeliner) error {
		add(l.tb.Context(), pipe)
		return nil
	}); err != nil {
		l.tb.Fatal(err)
	}
}

// bursts are times of tasks that come in crowds.
func bursts(n int) (times []time.Time) {
	at := time.Now().Add(-time.Hour)
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	for range n {
		at = at.Add(time.Duration(dice.IntN(1000)) * time.Microsecond)
		if dice.IntN(200) == 0 {
			at = at.Add(time.Minute)
		}
		times = append(times, at)
	}
	return times
}

func outlook(t *testing.T, client *queue.Client, tasks ...job.Task) []int {
	t.Helper()
	places, _, err := client.Outlook(t.Context(), tasks...)
	if err != nil {
		t.Fatal(err)
	}
	return places
}

func TestPlacesInALongQueueDrainToTheFront(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t) // the imitation takes seconds for what is asked here
	client := queue.NewClient(connect(t, url))
	l := newLine(t, url)
	l.come(bursts(4000)...)
	watched := map[job.Task]int{} // by the last place
	for i := 0; i < len(l.tasks); i += 61 {
		watched[l.tasks[i]] = math.MaxInt
	}
	for len(l.tasks) > 0 {
		n := len(l.tasks)
		factor := math.Pow(float64(n)/exactPlaces, 1.0/64)
		var asked []job.Task
		var want []int
		for i, task := range l.tasks {
			if watched[task] > 0 {
				asked, want = append(asked, task), append(want, i+1)
			}
		}
		for i, place := range outlook(t, client, asked...) {
			last := watched[asked[i]]
			switch off := math.Abs(float64(place - want[i])); {
			case place > last:
				t.Errorf("of %d: place %d became %d, the queue drains", n, last, place)
			case want[i] <= exactPlaces && off > 0, place < 1, place > n, off > float64(want[i])*(factor-1)+1:
				t.Errorf("of %d: place %d, want %d", n, place, want[i])
			}
			watched[asked[i]] = place
		}
		l.take(min(n, 83))
	}
}

func TestPlacesOfTasksThatDoNotWaitLikeOthers(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		client, l := queue.NewClient(connect(t, url)), newLine(t, url)
		l.come(bursts(1000)...)
		taken, next := l.tasks[0], l.tasks[1]
		l.take(1)
		delayed, run, back := newTask(job.LaneBulk), newTask(job.LaneBulk), newTask(job.LaneBulk)
		l.do(func(ctx context.Context, pipe redis.Pipeliner) {
			pending, task := l.keys(delayed)
			pipe.HSet(ctx, task, "state", "retry")
			_, task = l.keys(run) // from the dashboard: asynq notes no time
			pipe.LPush(ctx, pending, run.ID())
			pipe.HSet(ctx, task, "state", "pending")
			_, task = l.keys(back) // handed back by a worker that stops
			pipe.RPush(ctx, pending, back.ID())
			pipe.HSet(ctx, task, "state", "pending")
		})
		got := outlook(t, client, newTask(job.LaneBulk), taken, delayed, back, next, run)
		for i, want := range []int{0, 0, 0, 1, 2, 1001} {
			if got[i] != want {
				t.Errorf("places are %v: want %d at %d", got, want, i)
			}
		}
		// Whatever the clocks say of when tasks came, a place is behind those that are counted and in the queue.
		l.come(time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour), time.Unix(0, 0), time.Now())
		n := 1001 + 4
		for _, place := range outlook(t, client, l.tasks[len(l.tasks)-4:]...) {
			if place <= exactPlaces || place > n {
				t.Errorf("a task at the end of %d has place %d", n, place)
			}
		}
	})
}
