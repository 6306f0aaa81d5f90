package worker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// begun begins the call of the present task, as a queue's server does when it takes the task.
func (b *bench) begun(t *testing.T) func(*queue.Errand) {
	t.Helper()
	asked := time.Now()
	start, err := b.store.Start(t.Context(), b.task, "taken", b.task.Upstream(), b.processor.Begin()["exacg"])
	if err != nil {
		t.Fatal(err)
	}
	return func(e *queue.Errand) { e.Begun = &queue.Begun{Start: start, CallID: "taken", Asked: asked} }
}

func TestACallThatBeganWithItsTask(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		upstream := answers(failing(busy), picture)
		b := newBenchOn(t, url, upstream)
		if _, again := pause(b.process(t.Context(), b.begun(t))); !again {
			t.Error("the picture does not come again")
		}
		if err := b.process(t.Context(), b.begun(t)); err != nil {
			t.Fatal(err)
		}
		j := b.job()
		wantEntries(t, j, "exacg refused no", "exacg ok yes")
		if j.Status != job.StatusCompleted || len(upstream.calls) != 2 || upstream.calls[0].Prompt != "a cat" {
			t.Errorf("job is %s after %+v", j.Status, upstream.calls)
		}
	})
}

// The next key is asked in a call of its own.
func TestTheNextKeyAfterACallThatBeganWithItsTask(t *testing.T) {
	t.Parallel()
	b := newBench(t, answers(failing(keyRefused)), twoKeys(answers(picture)), once)
	if err := b.process(t.Context(), b.begun(t)); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, b.job(), "exacg refused no", "exacg ok yes")
}

// Where no key may be used, the call that began is taken back, and the picture goes elsewhere as it would have.
func TestNoKeyForACallThatBeganWithItsTask(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		b := newBenchOn(t, url, answers(failing(keyRefused)), twoUpstreams(answers(picture)), once)
		if err := b.process(t.Context()); err != nil { // its key rests from then on
			t.Fatal(err)
		}
		b.another(t)
		b.queued.tasks = nil
		if err := b.process(t.Context(), b.begun(t)); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, b.job(), "exacg failed no")
		b.follow()
		if b.task.Upstream() != "local" {
			t.Fatalf("the picture went to %s", b.task.Queue)
		}
		if err := b.process(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, b.job(), "exacg failed no", "local ok yes")
	})
}

// A call that began long ago is not sent: the picture may be somebody else's by now.
func TestACallThatBeganTooLongAgo(t *testing.T) {
	t.Parallel()
	upstream := answers(picture)
	b := newBench(t, upstream)
	begun := b.begun(t)
	_, again := pause(b.process(t.Context(), begun, func(e *queue.Errand) { e.Begun.Asked = time.Now().Add(-time.Minute) }))
	if !again || len(upstream.calls) != 0 {
		t.Errorf("comes again: %t, after %d calls", again, len(upstream.calls))
	}
	wantEntries(t, b.job(), "exacg cancelled no")
}

// A job that is cancelled after its call began with the task, and before the worker listened for that, is not drawn.
func TestCancelledBeforeTheWorkerListened(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		upstream := answers(picture)
		b := newBenchOn(t, url, upstream)
		begun := b.begun(t)
		heard := b.ends.WatchSince(b.task.Job, time.Now())
		defer heard.Stop()
		if _, err := b.store.Cancel(t.Context(), b.task.Job, nil, false); err != nil {
			t.Fatal(err)
		}
		<-heard.C
		if err := b.process(t.Context(), begun); err != nil && !errors.Is(err, queue.ErrArchive) {
			t.Errorf("process = %v", err)
		}
		j := b.job()
		if j.Status != job.StatusCancelled || len(upstream.calls) != 0 {
			t.Errorf("job is %s after %d calls", j.Status, len(upstream.calls))
		}
		wantEntries(t, j, "exacg failed no")
	})
}

// Only calls that may be repeated begin with their tasks: one whose reply is lost with the process looks as if it had been made.
func TestWhichCallsMayBeginWithTheirTasks(t *testing.T) {
	t.Parallel()
	if rules := newBench(t, answers(picture), strict).processor.Begin(); len(rules) != 0 {
		t.Errorf("rules = %+v, want none", rules)
	}
	rules := newBench(t, answers(picture)).processor.Begin()
	if o := rules["exacg"]; len(rules) != 1 || o.MaxAttempts != 3 || !o.RepeatAmbiguous || o.Look || o.MarkTTL == 0 {
		t.Errorf("rules = %+v", rules)
	}
}
