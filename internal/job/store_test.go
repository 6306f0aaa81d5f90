package job_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

var options = job.StartOptions{MarkTTL: time.Minute, MaxAttempts: 3, RepeatAmbiguous: true}

func connect(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisconn.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// record is one job in a store of the test's own.
type record struct {
	t      *testing.T
	store  *job.Store
	client redis.UniversalClient
	id     job.ID
}

func newRecord(t *testing.T, url string, seeds ...uint32) record {
	t.Helper()
	r := record{t: t, client: connect(t, url), id: job.NewID()}
	r.store = job.NewStore(r.client, time.Hour)
	if _, err := r.store.Create(t.Context(), r.id, newJob(seeds...), express, ""); err != nil {
		t.Fatal(err)
	}
	return r
}

// express is where the pictures of the tests' jobs wait.
var express = []string{"exacg-express", "exacg-express", "exacg-express"}

func newJob(seeds ...uint32) job.New {
	return job.New{Owner: "owner", Class: job.ClassInteractive, Spec: imagegen.Spec{
		Model: "Z-Image", Upstreams: []string{"exacg"}, ModelIndex: 5, Prompt: `一只 "cat" [] {}`, Width: 1024, Height: 2048,
		Steps: 8, CFG: 7, Quality: "auto", Seeds: seeds,
	}}
}

func (r record) task(image int, generation int64) job.Task {
	return job.Task{Job: r.id, Image: image, Generation: generation, Queue: "exacg-express", Owner: "owner"}
}

func (r record) start(image int, callID string, o job.StartOptions) job.Start {
	r.t.Helper()
	s, err := r.store.Start(r.t.Context(), r.task(image, 0), callID, "exacg", o)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r record) finish(image int, callID string, f job.Finish) job.Status {
	r.t.Helper()
	s, err := r.store.Finish(r.t.Context(), r.task(image, 0), callID, f)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Status
}

func (r record) get() job.Job {
	r.t.Helper()
	j, err := r.store.Get(r.t.Context(), r.id)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

func entry(attempt int, outcome job.CallOutcome, billed imagegen.Billed) *job.Call {
	return &job.Call{
		Attempt: attempt, Upstream: "exacg", StartedAt: time.UnixMilli(1_700_000_000_123), Duration: 1500 * time.Millisecond,
		Outcome: outcome, Billed: billed,
	}
}

func done(attempt int) job.Finish {
	return job.Finish{
		Verdict: job.FinishDone, Call: entry(attempt, job.CallOK, imagegen.BilledYes),
		Image: &imagegen.Image{URL: "https://example.com/a.png?x=[]&y={}", Seed: 4294967295, Width: 1024, Height: 2048},
	}
}

func failed(attempt int) job.Finish {
	return job.Finish{
		Verdict: job.FinishFailed, Call: entry(attempt, job.CallRefused, imagegen.BilledNo),
		Error: &imagegen.Error{Kind: imagegen.KindUpstreamRejected, Message: "no", Err: errors.New("secret cause")},
	}
}

func retry(attempt int, billed imagegen.Billed) job.Finish {
	return job.Finish{Verdict: job.FinishRetry, Call: entry(attempt, job.CallUnknown, billed)}
}

func TestRecordOfAJobThatSucceeds(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 7)
		before := r.get()
		want := job.Job{
			ID: r.id, Status: job.StatusQueued, Owner: "owner", Class: job.ClassInteractive, Spec: newJob(7).Spec, Version: 1,
			Pictures: []job.Picture{{Queue: "exacg-express"}},
		}
		ignoreTimes := cmpopts.IgnoreFields(job.Job{}, "CreatedAt", "StartedAt", "CompletedAt", "ExpiresAt")
		if diff := cmp.Diff(before, want, ignoreTimes); diff != "" {
			t.Errorf("new record (-got +want):\n%s", diff)
		}

		s := r.start(0, "call", options)
		if s.Verdict != job.StartGo || s.Attempt != 1 || !cmp.Equal(s.Spec, newJob(7).Spec) || !s.CreatedAt.Equal(before.CreatedAt) {
			t.Errorf("start = %+v", s)
		}
		running := r.get()
		if running.Status != job.StatusInProgress || running.StartedAt.IsZero() {
			t.Errorf("running: status %s started %v", running.Status, running.StartedAt)
		}
		wantCalls := []job.Call{{Attempt: 1, Upstream: "exacg", StartedAt: s.StartedAt, Outcome: job.CallUnknown, Billed: imagegen.BilledUnknown}}
		if diff := cmp.Diff(running.Calls, wantCalls); diff != "" {
			t.Errorf("ledger of a call under way (-got +want):\n%s", diff)
		}

		if got := r.finish(0, "call", done(1)); got != job.StatusCompleted {
			t.Errorf("finish = %q", got)
		}
		after := r.get()
		if diff := cmp.Diff(after.Pictures[0].Image, done(1).Image); diff != "" {
			t.Errorf("picture (-got +want):\n%s", diff)
		}
		if diff := cmp.Diff(after.Calls, []job.Call{*entry(1, job.CallOK, imagegen.BilledYes)}); diff != "" {
			t.Errorf("ledger (-got +want):\n%s", diff)
		}
		if got := after.ExpiresAt.Sub(after.CompletedAt); got != time.Hour {
			t.Errorf("expires %v after completion, want 1h", got)
		}
		if ttl := r.client.PTTL(t.Context(), "zimage:job:{"+string(r.id)+"}").Val(); ttl <= 59*time.Minute || ttl > time.Hour {
			t.Errorf("record lives %v, want an hour", ttl)
		}
		if n := r.client.ZCard(t.Context(), "zimage:jobs:open").Val(); n != 0 {
			t.Errorf("%d jobs are listed as open", n)
		}
	})
}

func TestStartVerdicts(t *testing.T) {
	t.Parallel()
	strict := options
	strict.RepeatAmbiguous = false
	gone := options
	gone.MarkTTL = -time.Second // a mark that is over at once: its worker died
	once := options
	once.MaxAttempts = 1
	cases := map[string]struct {
		before func(record)
		with   job.StartOptions
		callID string
		want   job.StartVerdict
		calls  int
	}{
		"a waiting picture may be drawn":                 {func(record) {}, options, "b", job.StartGo, 1},
		"a picture under way is owned":                   {func(r record) { r.start(0, "a", options) }, options, "b", job.StartOwned, 1},
		"the same call asks again and opens nothing":     {func(r record) { r.start(0, "a", options) }, options, "a", job.StartGo, 1},
		"a dead owner's picture may be drawn":            {func(r record) { r.start(0, "a", gone) }, options, "b", job.StartGo, 2},
		"a dead owner's call may have been paid for":     {func(r record) { r.start(0, "a", gone) }, strict, "b", job.StartAmbiguous, 1},
		"a dead owner's last call was the last":          {func(r record) { r.start(0, "a", gone) }, once, "b", job.StartSpent, 1},
		"after a failure it may be drawn again":          {func(r record) { r.start(0, "a", options); r.finish(0, "a", retry(1, imagegen.BilledNo)) }, strict, "b", job.StartGo, 2},
		"after an unknown outcome it may not, if so set": {func(r record) { r.start(0, "a", options); r.finish(0, "a", retry(1, imagegen.BilledUnknown)) }, strict, "b", job.StartAmbiguous, 1},
		"a finished picture is gone":                     {func(r record) { r.start(0, "a", options); r.finish(0, "a", done(1)) }, options, "b", job.StartGone, 1},
	}
	redistest.Both(t, func(t *testing.T, url string) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRecord(t, url, 1, 2)
				c.before(r)
				if got := r.start(0, c.callID, c.with).Verdict; got != c.want {
					t.Errorf("start = %q, want %q", got, c.want)
				}
				if got := r.get().Pictures[0].Attempts; got != c.calls {
					t.Errorf("%d calls in the ledger, want %d", got, c.calls)
				}
			})
		}
		t.Run("an older generation is gone", func(t *testing.T) {
			t.Parallel()
			r := newRecord(t, url, 1)
			s, err := r.store.Start(t.Context(), r.task(0, 1), "a", "exacg", options)
			if err != nil || s.Verdict != job.StartGone {
				t.Errorf("start = %+v, %v", s, err)
			}
		})
		t.Run("an unknown job is gone", func(t *testing.T) {
			t.Parallel()
			r := newRecord(t, url, 1)
			s, err := r.store.Start(t.Context(), job.Task{Job: job.NewID()}, "a", "exacg", options)
			if err != nil || s.Verdict != job.StartGone {
				t.Errorf("start = %+v, %v", s, err)
			}
		})
	})
}

func TestFinishHasOneWinner(t *testing.T) {
	t.Parallel()
	dead := options
	dead.MarkTTL = -time.Second
	redistest.Both(t, func(t *testing.T, url string) {
		t.Run("the second result of a picture is late, and stays in the ledger", func(t *testing.T) {
			t.Parallel()
			r := newRecord(t, url, 1)
			r.start(0, "a", dead)
			r.start(0, "b", options)
			if got := r.finish(0, "b", done(2)); got != job.StatusCompleted {
				t.Fatalf("finish = %q", got)
			}
			before := r.get()
			if got := r.finish(0, "a", failed(1)); got != "" {
				t.Errorf("late finish = %q, want none", got)
			}
			after := r.get()
			if after.Calls[0].Outcome != job.CallRefused {
				t.Errorf("ledger of the late call = %+v", after.Calls[0])
			}
			if diff := cmp.Diff(before, after, cmpopts.IgnoreFields(job.Job{}, "Calls")); diff != "" {
				t.Errorf("a terminal job changed (-before +after):\n%s", diff)
			}
		})
		t.Run("a paid picture is taken from a worker that lost its mark", func(t *testing.T) {
			t.Parallel()
			r := newRecord(t, url, 1)
			r.start(0, "a", dead)
			r.start(0, "b", options)
			if got := r.finish(0, "a", done(1)); got != job.StatusCompleted {
				t.Errorf("finish = %q", got)
			}
		})
		t.Run("a failure is not taken from a worker that lost its mark", func(t *testing.T) {
			t.Parallel()
			r := newRecord(t, url, 1)
			r.start(0, "a", dead)
			r.start(0, "b", options)
			if got := r.finish(0, "a", failed(1)); got != "" {
				t.Errorf("finish = %q, want none", got)
			}
			if got := r.get().Status; got != job.StatusInProgress {
				t.Errorf("status = %q", got)
			}
		})
		t.Run("finishing twice is finishing once", func(t *testing.T) {
			t.Parallel()
			r := newRecord(t, url, 1, 2)
			r.start(0, "a", options)
			r.finish(0, "a", done(1))
			r.finish(0, "a", done(1))
			if got := r.get().Status; got != job.StatusInProgress {
				t.Errorf("status with one of two pictures drawn = %q", got)
			}
		})
	})
}

func TestJobOfSeveralPictures(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		finish [2]func(int) job.Finish
		want   job.Status
	}{
		"all drawn":  {[2]func(int) job.Finish{done, done}, job.StatusCompleted},
		"one drawn":  {[2]func(int) job.Finish{failed, done}, job.StatusCompleted},
		"none drawn": {[2]func(int) job.Finish{failed, failed}, job.StatusFailed},
	}
	redistest.Both(t, func(t *testing.T, url string) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRecord(t, url, 1, 2)
				r.start(0, "a", options)
				r.start(1, "b", options)
				if got := r.finish(0, "a", c.finish[0](1)); got != job.StatusInProgress {
					t.Errorf("after the first picture %q", got)
				}
				if got := r.finish(1, "b", c.finish[1](1)); got != c.want {
					t.Errorf("after the last picture %q, want %q", got, c.want)
				}
				if e := r.get().Pictures[0].Error; e != nil {
					if diff := cmp.Diff(e, &imagegen.Error{Kind: imagegen.KindUpstreamRejected, Message: "no"}); diff != "" {
						t.Errorf("stored failure (-got +want):\n%s", diff)
					}
				}
			})
		}
	})
}

func TestRenew(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1, 2)
		short := options
		short.MarkTTL = -time.Second
		r.start(0, "a", short)
		r.start(1, "b", options)
		marks := []job.Mark{{Task: r.task(0, 0), CallID: "a"}, {Task: r.task(1, 0), CallID: "stranger"}}
		if err := r.client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		kept, err := r.store.Renew(t.Context(), marks, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(kept, []bool{true, false}); diff != "" {
			t.Errorf("kept (-got +want):\n%s", diff)
		}
		if got := r.start(0, "c", options).Verdict; got != job.StartOwned {
			t.Errorf("start after renewal = %q, want owned", got)
		}
	})
}

// A record written after its caller was told that there is no job would be drawn for nobody.
func TestCreateNeverLandsLate(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	store := job.NewStore(connect(t, server.URL()), time.Hour)
	if _, err := store.Create(t.Context(), job.NewID(), newJob(1), express, ""); err != nil {
		t.Fatal(err)
	}
	server.Freeze()
	late := job.NewID()
	began := time.Now()
	if _, err := store.Create(t.Context(), late, newJob(1), express, ""); err == nil {
		t.Fatal("a frozen Redis took a job")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the refusal took %v, want under 2 s", took)
	}
	server.Thaw()
	after := job.NewID()
	if _, err := store.Create(t.Context(), after, newJob(1), express, ""); err != nil {
		t.Fatalf("after the thaw: %v", err)
	}
	if _, err := store.Get(t.Context(), late); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("the refused job is there (%v)", err)
	}
}

// A clock that was set after the store learned Redis' time must not refuse jobs.
func TestCreateLearnsAClockThatWasSet(t *testing.T) {
	t.Parallel()
	r := newRecord(t, redistest.URL(t), 1)
	r.store.SetSkew(-time.Hour)
	if _, err := r.store.Create(t.Context(), job.NewID(), newJob(1), express, ""); err != nil {
		t.Error(err)
	}
}

func TestGetUnknown(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		store := job.NewStore(connect(t, url), time.Hour)
		for _, id := range []job.ID{job.NewID(), "", "job_", "job_x}{", "job_AAAAAAAAAAAAAAAAAAAAAAAAAA"} {
			if _, err := store.Get(t.Context(), id); !errors.Is(err, job.ErrNotFound) {
				t.Errorf("get %q: %v, want ErrNotFound", id, err)
			}
		}
	})
}

func TestCreateSurvivesScriptFlush(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1)
		if err := r.client.ScriptFlush(context.WithoutCancel(t.Context())).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.Create(t.Context(), job.NewID(), newJob(1), express, ""); err != nil {
			t.Error(err)
		}
	})
}
