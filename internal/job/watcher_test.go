package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// stubQueue keeps the tasks it is given, in a list in Redis: scripts queue them too.
type stubQueue struct {
	client  redis.UniversalClient
	err     error
	removed chan job.Task
	places  []int
	pace    job.Pace
	paces   map[string]job.Pace // by upstream
}

func newStubQueue(client redis.UniversalClient) *stubQueue {
	return &stubQueue{client: client, removed: make(chan job.Task, 1000)}
}

// stubKey is the list of queued tasks, as JSON with the queue behind.
const stubKey = "test:queued"

// next takes the task that was queued first, once there is one.
func (q *stubQueue) next(t *testing.T) (task job.Task) {
	t.Helper()
	reply, err := q.client.BLPop(t.Context(), 10*time.Second, stubKey).Result()
	if err == nil {
		text, name, _ := strings.Cut(reply[1], "\n")
		err = json.Unmarshal([]byte(text), &task) //nolint:musttag // nobody else reads it
		task.Queue = name
	}
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// length is how many tasks are queued.
func (q *stubQueue) length(t *testing.T) int64 {
	t.Helper()
	return q.client.LLen(t.Context(), stubKey).Val()
}

func (q *stubQueue) Enqueue(ctx context.Context, tasks ...job.Task) error {
	insert, err := q.Insert(ctx, tasks)
	for i, t := range tasks {
		b, _ := insert.Args[i].([]byte)
		err = errors.Join(err, q.client.RPush(ctx, stubKey, string(b)+t.Queue).Err())
	}
	return errors.Join(err, q.err)
}

func (q *stubQueue) Insert(_ context.Context, tasks []job.Task, _ ...string) (job.Insert, error) {
	i := job.Insert{Lua: `
local function enqueue(i, queue, a) redis.call("RPUSH", "` + stubKey + `", ARGV[a + i] .. queue) end
`}
	for _, t := range tasks {
		b, err := json.Marshal(t) //nolint:musttag // nobody else reads it
		if err != nil {
			return i, err
		}
		i.Args = append(i.Args, append(b, '\n'))
	}
	return i, nil
}

func (q *stubQueue) Remove(_ context.Context, tasks ...job.Task) error {
	for _, t := range tasks {
		q.removed <- t
	}
	return nil
}

func (q *stubQueue) Outlook(_ context.Context, tasks ...job.Task) ([]int, job.Paces, error) {
	return q.places[:len(tasks)], job.Paces{All: q.pace, Of: q.paces}, q.err
}

type noMetrics struct{}

func (noMetrics) JobSubmitted(string)               {}
func (noMetrics) JobRefused(string)                 {}
func (noMetrics) JobJoined(string)                  {}
func (noMetrics) JobFinished(string, time.Duration) {}

// system is a service with a running watcher.
type system struct {
	client  redis.UniversalClient
	store   *job.Store
	watcher *job.Watcher
	service *job.Service
	queue   *stubQueue
}

func newSystem(t *testing.T, url string) system {
	t.Helper()
	return newSystemWith(t, url, job.ServiceConfig{MaxPending: 1000, Drop: job.DropQueued})
}

func newSystemWith(t *testing.T, url string, cfg job.ServiceConfig) system {
	t.Helper()
	client := connect(t, url)
	s := system{client: client, store: job.NewStore(client, time.Hour), queue: newStubQueue(client)}
	s.watcher = job.NewWatcher(client, s.store, slog.New(slog.DiscardHandler))
	s.service = job.NewService(s.store, s.watcher, s.queue, job.NewRateLimiter(client), cfg, noMetrics{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- s.watcher.Run(ctx) }()
	go func() { ended <- s.service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("watcher or service: %v", err)
			}
		}
		s.service.ForgetFresh()
		if n := s.watcher.Waiting(); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
	return s
}

// draw finishes a task as a worker would.
func draw(t *testing.T, s *job.Store, task job.Task) {
	t.Helper()
	start, err := s.Start(t.Context(), task, "call", "exacg", options)
	if err != nil || start.Verdict != job.StartGo {
		t.Fatalf("start = %+v, %v", start, err)
	}
	if _, err := s.Finish(t.Context(), task, "call", done(start.Attempt)); err != nil {
		t.Fatal(err)
	}
}

type waited struct {
	job job.Job
	err error
}

func wait(t *testing.T, s system, id job.ID) <-chan waited {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	result := make(chan waited, 1)
	go func() {
		j, err := s.service.Wait(ctx, "owner", id, job.Beat{})
		if err != nil {
			j = &job.Job{}
		}
		result <- waited{*j, err}
	}()
	return result
}

func TestWaitHearsTheEnd(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		j := submit(t, s, newJob(1, 2))
		first, second := wait(t, s, j.ID), wait(t, s, j.ID)
		draw(t, s.store, s.queue.next(t))
		draw(t, s.store, s.queue.next(t))
		for _, result := range []<-chan waited{first, second} {
			if w := <-result; w.err != nil || w.job.Status != job.StatusCompleted {
				t.Errorf("wait = %s, %v", w.job.Status, w.err)
			}
		}
	})
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	j := submit(t, s, newJob(1))
	timeout := &imagegen.Error{Kind: imagegen.KindGenerationTimeout}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, timeout)
	defer cancel()
	if _, err := s.service.Wait(ctx, "owner", j.ID, job.Beat{}); imagegen.AsError(err) != timeout {
		t.Errorf("wait = %v, want the cause of its context", err)
	}
	if _, err := s.service.Wait(t.Context(), "stranger", j.ID, job.Beat{}); imagegen.AsError(err).Kind != imagegen.KindJobNotFound {
		t.Errorf("a stranger's wait = %v, want job_not_found", err)
	}
}

func TestWaitBeats(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	j := submit(t, s, newJob(1))
	gone := errors.New("the client is gone")
	beats := 0
	_, err := s.service.Wait(t.Context(), "owner", j.ID, job.Beat{Every: time.Millisecond, Func: func(context.Context) error {
		if beats++; beats == 3 {
			return gone
		}
		return nil
	}})
	if beats != 3 || !errors.Is(err, gone) {
		t.Errorf("wait = %v after %d beats, want the third beat's error", err, beats)
	}
}

// A job that ends while the subscription is down is found when it is back.
func TestWaitSurvivesARestartOfRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{AppendOnly: true})
	s := newSystem(t, server.URL())
	j := submit(t, s, newJob(1))
	result := wait(t, s, j.ID)
	task := s.queue.next(t)
	// Whoever finishes the job does it before this watcher can have subscribed again: there is no event for it to hear.
	server.Restart()
	draw(t, s.store, task)
	if w := <-result; w.err != nil || w.job.Status != job.StatusCompleted {
		t.Errorf("wait = %s, %v", w.job.Status, w.err)
	}
}

func TestSubmitAcceptsWhatTheSweeperWillQueue(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	s.queue.err = context.DeadlineExceeded
	sub, err := s.service.Submit(t.Context(), newJob(1))
	if err != nil {
		t.Fatalf("submit = %v, want an accepted job: its record is written", err)
	}
	if got, err := s.service.Get(t.Context(), "owner", sub.Job.ID); err != nil || got.Status != job.StatusQueued {
		t.Errorf("get = %s, %v", got.Status, err)
	}
}

func TestSubmitSaysWhenRedisIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	s := newSystem(t, server.URL())
	server.Kill()
	began := time.Now()
	_, err := s.service.Submit(t.Context(), newJob(1))
	if imagegen.AsError(err).Kind != imagegen.KindQueueUnavailable {
		t.Errorf("submit = %v, want queue_unavailable", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the refusal took %v, want under 2 s", took)
	}
}

// Who made a job is told of its end as the record has it, whether that is read for it or not.
func TestWaitTellsWhatTheRecordSays(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]job.New{"one picture": newJob(7), "two pictures": newJob(7, 8)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				s := newSystem(t, url)
				n := n // each server has its own
				n.WaitFor = time.Minute
				j := submit(t, s, n)
				for range n.Spec.N() {
					task := s.queue.next(t)
					start, err := s.store.Start(t.Context(), task, "call", "exacg", options)
					if err != nil {
						t.Fatal(err)
					}
					f := done(start.Attempt)
					f.Call.StartedAt = start.StartedAt
					if _, err := s.store.Finish(t.Context(), task, "call", f); err != nil {
						t.Fatal(err)
					}
				}
				got, err := s.service.Wait(t.Context(), "owner", j.ID, job.Beat{})
				if err != nil {
					t.Fatal(err)
				}
				want, err := s.store.Get(t.Context(), j.ID)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, *got); diff != "" {
					t.Errorf("the record, and what was told (-want +got):\n%s", diff)
				}
			})
		})
	}
}
