package job_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// moving takes a task as asynq does, from a list in which ids stand.
const moving = `
local id = redis.call("RPOPLPUSH", KEYS[1], KEYS[3])
if id then return "about " .. id end
return nil`

// take puts a task's id into a list, and takes it from there.
func (r record) take(id, callID string, o job.StartOptions, now time.Time) (*job.Start, error) {
	r.t.Helper()
	if err := r.client.LPush(r.t.Context(), "pending", id).Err(); err != nil {
		r.t.Fatal(err)
	}
	args := append([]any{"lease", "prefix"}, r.store.TakeArgs(callID, "exacg", o, now)...)
	reply, err := redis.NewScript(job.TakeScript(moving)).Run(r.t.Context(), r.client, []string{"pending", "paused", "active", "lease"}, args...).Slice()
	if err != nil {
		r.t.Fatal(err)
	}
	message, answer, err := r.store.Taken(reply)
	if err != nil || message != "about "+id {
		r.t.Fatalf("message = %q, %v", message, err)
	}
	if answer == nil {
		return nil, nil
	}
	start, err := job.DecodeStart(answer)
	return &start, err
}

func TestTakingBeginsTheCall(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1)
		waiting := []string{"zimage:{admission}:waiting", "zimage:{admission}:waiting:owner"}
		for _, set := range waiting {
			if err := r.client.ZAdd(t.Context(), set, redis.Z{Score: 1, Member: "owner/" + string(r.id) + "/0"}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		start, err := r.take(r.task(0, 0).ID(), "call", options, time.Now())
		if err != nil || start == nil || start.Verdict != job.StartGo || start.Attempt != 1 || start.Counted != 1 || start.Spec.Prompt == "" {
			t.Fatalf("start = %+v, %v", start, err)
		}
		again := r.start(0, "call", options)
		if again.Verdict != job.StartGo || again.Attempt != 1 || !again.StartedAt.Equal(start.StartedAt) {
			t.Errorf("asked again: %+v, want %+v", again, start)
		}
		if n := r.client.Exists(t.Context(), waiting...).Val(); n != 0 {
			t.Error("the picture still waits")
		}
		if start, err := r.take(r.task(0, 0).ID(), "other", options, time.Now()); err != nil || start == nil || start.Verdict != job.StartOwned {
			t.Errorf("another call: %+v, %v; want none, as the picture is the first's", start, err)
		}
		for range 2 {
			if err := r.store.NotMade(t.Context(), r.task(0, 0), "call", "exacg", *start); err != nil {
				t.Fatal(err)
			}
		}
		j := r.get()
		if len(j.Calls) != 1 || j.Calls[0].Outcome != job.CallFailed || j.Calls[0].Billed != imagegen.BilledNo || !j.Calls[0].StartedAt.Equal(start.StartedAt) {
			t.Errorf("calls = %+v, want one for which nothing was sent", j.Calls)
		}
		for _, set := range waiting {
			if n := r.client.ZCard(t.Context(), set).Val(); n != 1 {
				t.Errorf("%d pictures wait in %s, want 1", n, set)
			}
		}
		o := options
		o.MaxAttempts, o.RepeatAmbiguous = 1, false
		if start, err := r.take(r.task(0, 0).ID(), "last", o, time.Now()); err != nil || start != nil {
			t.Errorf("the last attempt: %+v, %v; want none, as none would be left if nobody heard of it", start, err)
		}
		o.MaxAttempts = 2
		if start, err := r.take(r.task(0, 0).ID(), "next", o, time.Now()); err != nil || start == nil || start.Verdict != job.StartGo || start.Counted != 1 {
			t.Errorf("the next call: %+v, %v; want the first that counts", start, err)
		}
	})
}

// What is no picture's task, or one that the record does not want, is only taken.
func TestTakingWithoutACall(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1)
		for what, id := range map[string]string{"a delivery": job.WebhookTask(r.id).ID(), "nothing of ours": "a/b/c"} {
			if start, err := r.take(id, "call", options, time.Now()); start != nil || err != nil {
				t.Errorf("%s: start = %+v, %v", what, start, err)
			}
		}
		if start, err := r.take(r.task(0, 0).ID(), "", options, time.Now()); start != nil || err != nil {
			t.Errorf("without a call: start = %+v, %v", start, err)
		}
		if start, err := r.take(r.task(0, 1).ID(), "call", options, time.Now()); err != nil || start == nil || start.Verdict != job.StartGone {
			t.Errorf("of another generation: start = %+v, %v", start, err)
		}
		if j := r.get(); j.Status != job.StatusQueued || len(j.Calls) != 0 {
			t.Errorf("job = %+v, want none that began", j)
		}
		// A record that is none does not keep its task from being taken.
		broken := job.NewID()
		if err := r.client.Set(t.Context(), recordOf(broken), "no hash", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if start, err := r.take(job.Task{Job: broken}.ID(), "call", options, time.Now()); start != nil || err != nil {
			t.Errorf("of a broken record: start = %+v, %v", start, err)
		}
	})
}

// A question that Redis finds in its socket after a stall begins no call; who asks learns what time it is for Redis.
func TestACallNeverBeginsLate(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1)
		if start, err := r.take(r.task(0, 0).ID(), "call", options, time.Now().Add(-3*time.Second)); start != nil || err != nil {
			t.Errorf("asked for 3 s ago: start = %+v, %v", start, err)
		}
		r.store.SetSkew(-time.Minute) // our clock was set
		if start, err := r.take(r.task(0, 0).ID(), "call", options, time.Now()); start != nil || err != nil {
			t.Errorf("with another clock: start = %+v, %v", start, err)
		}
		if j := r.get(); j.Status != job.StatusQueued {
			t.Errorf("job is %s", j.Status)
		}
		if start, err := r.take(r.task(0, 0).ID(), "call", options, time.Now()); err != nil || start == nil || start.Verdict != job.StartGo {
			t.Errorf("once the time is known: start = %+v, %v", start, err)
		}
	})
}

func TestOwned(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1, 2)
		r.start(1, "call", options)
		broken := job.NewID()
		if err := r.client.Set(t.Context(), recordOf(broken), "no hash", 0).Err(); err != nil {
			t.Fatal(err)
		}
		owned, err := r.store.Owned(t.Context(), "exacg-express", []string{job.Task{Job: broken}.ID(), r.task(0, 0).ID(), r.task(1, 0).ID(), "a/b/c", job.WebhookTask(r.id).ID()})
		if err != nil || len(owned) != 1 || owned["call"] != r.task(1, 0) {
			t.Errorf("owned = %+v, %v; want the second picture", owned, err)
		}
	})
}

// Who registers late is told to look if anything was heard since.
func TestWatchSince(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		r := newRecord(t, url, 1)
		other := newRecord(t, url, 1)
		w := job.NewCancelWatcher(r.client, r.store, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		first := w.WatchSince(r.id, time.Now())
		defer first.Stop()
		before := time.Now()
		if _, err := r.store.Cancel(t.Context(), r.id, nil, false); err != nil {
			t.Fatal(err)
		}
		<-first.C // heard, or seen when the subscription came
		late := w.WatchSince(other.id, before)
		defer late.Stop()
		select {
		case <-late.C:
		default:
			t.Error("a waiter from before is not told to look")
		}
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		present := w.WatchSince(other.id, time.Now())
		defer present.Stop()
		select {
		case <-present.C:
			t.Error("a waiter that is in time is told to look")
		default:
		}
	})
}
