package job_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// keyed is a request with an idempotency key.
func keyed(key, body string) job.New {
	n := newJob(1)
	n.Claim = job.Claim{Mode: job.ClaimByKey, Key: key, Body: body}
	return n
}

// another returns a service of another API process on the same Redis.
func (s system) another(t *testing.T) *job.Service {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store := job.NewStore(s.client, time.Hour)
	return job.NewService(store, job.NewWatcher(s.client, store, log), s.queue, job.NewRateLimiter(s.client),
		job.ServiceConfig{MaxPending: 1000, Drop: job.DropQueued}, noMetrics{}, log)
}

// Of many requests with one key at the same time, on several processes, one makes the job.
func TestOneKeyMakesOneJob(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]job.New{"idempotency key": keyed("k", "b"), "a client's own retry": request("owner", "a", true)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				s := newSystem(t, url)
				services := []*job.Service{s.service, s.another(t), s.another(t)}
				const callers = 50
				ids, joined := make([]job.ID, callers), make([]bool, callers)
				start := make(chan struct{})
				var calls sync.WaitGroup
				for i := range callers {
					calls.Go(func() {
						<-start
						sub, err := services[i%len(services)].Submit(t.Context(), n)
						if err != nil {
							t.Error(err)
						}
						ids[i], joined[i] = sub.Job.ID, sub.Joined
					})
				}
				close(start)
				calls.Wait()
				made := 0
				for i, id := range ids {
					if id != ids[0] {
						t.Errorf("caller %d got %s, caller 0 %s", i, id, ids[0])
					}
					if !joined[i] {
						made++
					}
				}
				if made != 1 || s.queue.length(t) != 1 {
					t.Errorf("%d callers made a job, %d tasks are queued; want 1 and 1", made, s.queue.length(t))
				}
			})
		})
	}
}

func TestWhatAKeyStandsFor(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		first := submit(t, s, keyed("k", "body"))
		if _, err := s.service.Submit(t.Context(), keyed("k", "other body")); imagegen.AsError(err).Kind != imagegen.KindKeyReused {
			t.Errorf("another body: %v, want idempotency_key_reused", err)
		}
		if j := submit(t, s, keyed("l", "body")); j.ID == first.ID {
			t.Error("another key joined")
		}
		// What became of the job is the answer, even that it was cancelled.
		if _, err := s.service.Cancel(t.Context(), "owner", first.ID); err != nil {
			t.Fatal(err)
		}
		if again := submit(t, s, keyed("k", "body")); again.ID != first.ID || again.Status != job.StatusCancelled {
			t.Errorf("after the cancellation the key gives %s, %s", again.ID, again.Status)
		}
		// A job that was forgotten takes its claim along, once its maker cannot be on its way to it any more.
		if err := s.service.Delete(t.Context(), "owner", first.ID); err != nil {
			t.Fatal(err)
		}
		age(t, s, "k", 6*time.Second)
		if again := submit(t, s, keyed("k", "other body")); again.ID == first.ID {
			t.Error("the key of a forgotten job still stands for it")
		}
	})
}

// age makes a claim older.
func age(t *testing.T, s system, key string, d time.Duration) {
	t.Helper()
	name := "zimage:{admission}:claim:" + key
	claim, err := s.client.Get(t.Context(), name).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.client.Set(t.Context(), name, older(t, claim, d), time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
}

// A claim whose maker died before it wrote the record is taken over, by one, and not before others may believe it dead.
func TestAClaimWithoutARecordIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	now, err := s.client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	dead := job.NewID()
	claim := string(dead) + " body " + millis(now.Add(-4*time.Second))
	if err := s.client.Set(t.Context(), "zimage:{admission}:claim:k", claim, time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ids := make([]job.ID, 10)
	var calls sync.WaitGroup
	for i := range ids {
		calls.Go(func() {
			sub, err := s.service.Submit(t.Context(), keyed("k", "body"))
			if err != nil {
				t.Error(err)
			}
			ids[i] = sub.Job.ID
		})
	}
	calls.Wait()
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("taken over after %v: its maker may have been on its way", took)
	}
	for _, id := range ids {
		if id != ids[0] || id == dead {
			t.Fatalf("callers got %v", ids)
		}
	}
}

// A request that is refused for a limit leaves its key unused, and nothing that counts.
func TestARefusedRequestLeavesNothing(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		n := keyed("k", "body")
		n.Limits = job.Limits{RPM: 1, ImagesPerDay: 10}
		other := n
		other.Claim.Key = "l"
		first := submit(t, s, n)
		if _, err := s.service.Submit(t.Context(), other); imagegen.AsError(err).Kind != imagegen.KindRateLimited {
			t.Fatalf("the second request of a minute: %v", err)
		}
		for key, want := range map[string]int64{
			"zimage:{admission}:waiting": 1, "zimage:{admission}:waiting:owner": 1, "zimage:{admission}:today:owner": 1,
		} {
			if got := s.client.ZCard(t.Context(), key).Val(); got != want {
				t.Errorf("%s holds %d pictures, want %d", key, got, want)
			}
		}
		if s.client.Exists(t.Context(), "zimage:{admission}:claim:l").Val() != 0 {
			t.Error("the refused request claims its key")
		}
		// Joining costs nothing of the rate.
		if again := submit(t, s, n); again.ID != first.ID {
			t.Error("the repetition did not join")
		}
	})
}

// A twin of a running request that is refused for a limit does not take the claim along: the first one's retry finds its job.
func TestARefusedTwinLeavesTheClaim(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		n := request("owner", "a", false)
		n.Limits.RPM = 1
		first := submit(t, s, n)
		if _, err := s.service.Submit(t.Context(), n); imagegen.AsError(err).Kind != imagegen.KindRateLimited {
			t.Fatalf("the twin: %v", err)
		}
		if again := submit(t, s, request("owner", "a", true)); again.ID != first.ID {
			t.Errorf("the retry made %s beside %s: paid twice", again.ID, first.ID)
		}
	})
}

// A job that was dropped has answered nobody: its key is good for another.
func TestADroppedJobFreesItsKey(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		n := keyed("k", "body")
		n.WaitFor = time.Minute
		sub := enter(t, s, n)
		s.service.Leave(t.Context(), sub.Job.ID, sub.Token)
		left(t, s, sub.Job.ID)
		if end, err := s.store.Cancel(t.Context(), sub.Job.ID, &job.DropRule{Left: time.Second}, false); err != nil || end.Status != job.StatusCancelled {
			t.Fatalf("drop = %+v, %v", end, err)
		}
		if again := submit(t, s, n); again.ID == sub.Job.ID || again.Status != job.StatusQueued {
			t.Errorf("the retry got %s, %s", again.ID, again.Status)
		}
	})
}

// Whoever joins a job makes sure that the sweeper knows of it.
func TestAJoinedJobIsListedAsOpen(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	first := submit(t, s, keyed("k", "body"))
	s.client.Del(t.Context(), "zimage:jobs:open") // as if its node had been away
	submit(t, s, keyed("k", "body"))
	if got := s.client.ZRange(t.Context(), "zimage:jobs:open", 0, -1).Val(); len(got) != 1 || got[0] != string(first.ID) {
		t.Errorf("open jobs are %v, want %s", got, first.ID)
	}
}

// slowLimiter takes its time, and then something happens.
type slowLimiter struct {
	takes time.Duration
	then  func()
}

func (l slowLimiter) Allow(context.Context, string, int) (job.Rate, time.Duration, bool, error) {
	<-time.After(l.takes)
	l.then()
	return job.Rate{}, 0, true, nil
}

// The latest moment of a record counts from the request, not from what was left of it: a caller that was refused must not
// find its job drawn when Redis goes on.
func TestARefusedRequestIsNotRecordedLater(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	s := newSystem(t, server.URL())
	submit(t, s, newJob(1)) // scripts and clock are known
	log := slog.New(slog.DiscardHandler)
	service := job.NewService(s.store, s.watcher, s.queue, slowLimiter{time.Second, server.Freeze},
		job.ServiceConfig{MaxPending: 1000, Drop: job.DropQueued}, noMetrics{}, log)
	n := newJob(1)
	n.ID, n.Limits.RPM = job.NewID(), 5
	_, err := service.Submit(t.Context(), n)
	server.Thaw() // the command waits in Redis' socket
	if imagegen.AsError(err).Kind != imagegen.KindQueueUnavailable {
		t.Fatalf("submit = %v, want queue_unavailable", err)
	}
	submit(t, s, newJob(1)) // Redis has come to what was sent before
	if _, err := s.store.Get(t.Context(), n.ID); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("the refused job is there (%v)", err)
	}
}
