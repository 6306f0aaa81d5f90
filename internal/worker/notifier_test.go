package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
	"github.com/zimage-gateway/zimage-gateway/internal/worker"
)

func (m *metrics) WebhookDone(outcome string, _ time.Duration) { m.count("webhook", outcome) }

// deliveries is the record of one delivery.
type deliveries struct {
	job      job.Job
	tries    int
	settled  string // delivered or given up
	beginErr error
	endErr   error
	endDone  bool // the context of EndDelivery had ended
}

func (d *deliveries) BeginDelivery(_ context.Context, id job.ID) (job.Delivery, bool, error) {
	if d.beginErr != nil {
		return job.Delivery{}, false, d.beginErr
	}
	if d.settled != "" || id != d.job.ID {
		return job.Delivery{}, false, nil
	}
	d.tries++
	return job.Delivery{Job: d.job, URL: hookURL, Try: d.tries}, true, nil
}

func (d *deliveries) EndDelivery(ctx context.Context, _ job.ID, delivered bool) error {
	d.endDone = ctx.Err() != nil
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("no deadline")
	}
	if d.endErr != nil {
		return d.endErr
	}
	d.settled = "given up"
	if delivered {
		d.settled = "delivered"
	}
	return nil
}

// sends is a sender that answers with what answerFunc returns.
type sends struct {
	answerFunc func() error
	got        []webhook.Message
}

func (s *sends) Send(_ context.Context, url string, m webhook.Message) error {
	s.got = append(s.got, m)
	if url != hookURL {
		return fmt.Errorf("sent to %s", url)
	}
	return s.answerFunc()
}

const hookURL = "https://hooks.example.com/p4th?k3y=v4lue"

// post is a notifier with one event to deliver.
type post struct {
	deliveries *deliveries
	sends      *sends
	metrics    *metrics
	log        strings.Builder
	notifier   *worker.Notifier
	task       job.Task
}

// newPost returns a notifier for a job that ended a while ago, whose receiver answers with err.
func newPost(ago time.Duration, answer error) *post {
	id := job.NewID()
	p := &post{
		deliveries: &deliveries{job: job.Job{ID: id, Status: job.StatusCompleted, CompletedAt: time.Now().Add(-ago)}},
		sends:      &sends{answerFunc: func() error { return answer }}, metrics: &metrics{}, task: job.WebhookTask(id),
	}
	render := func(j job.Job) any { return map[string]any{"id": j.ID, "object": "job"} }
	p.notifier = worker.NewNotifier(p.deliveries, p.sends, render, p.metrics, slog.New(slog.NewJSONHandler(&p.log, nil)))
	return p
}

// line returns the one line that was logged, without its time.
func (p *post) line(t *testing.T) map[string]any {
	t.Helper()
	var line map[string]any
	if err := json.Unmarshal([]byte(p.log.String()), &line); err != nil {
		t.Fatalf("not one line: %v: %s", err, p.log.String())
	}
	if line["job_id"] != string(p.task.Job) {
		t.Errorf("job_id is %v", line["job_id"])
	}
	delete(line, "job_id")
	delete(line, "time")
	delete(line, "duration_ms")
	return line
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	refusal := func(code int) error {
		return fmt.Errorf("deliver webhook to hooks.example.com: %w", &webhook.StatusError{Code: code})
	}
	noRoute := errors.New("no route")
	cases := map[string]struct {
		ago     time.Duration
		answer  error
		tries   int           // made before
		after   time.Duration // of the retry, at least and up to a tenth more; 0: none
		archive bool
		settled string
		outcome string
		line    map[string]any
	}{
		"arrives": {
			settled: "delivered", outcome: "delivered",
			line: map[string]any{"level": "INFO", "msg": "webhook delivered", "try": 1.0, "host": "hooks.example.com"},
		},
		"arrives late": {
			ago: 48 * time.Hour, tries: 30, settled: "delivered", outcome: "delivered",
			line: map[string]any{"level": "INFO", "msg": "webhook delivered", "try": 31.0, "host": "hooks.example.com"},
		},
		"is refused": {
			answer: refusal(503), after: 5 * time.Second, outcome: "failed",
			line: map[string]any{"level": "WARN", "msg": "webhook failed", "try": 1.0, "host": "hooks.example.com", "status": 503.0},
		},
		"finds nobody": {
			answer: noRoute, tries: 3, after: 40 * time.Second, outcome: "failed",
			line: map[string]any{"level": "WARN", "msg": "webhook failed", "try": 4.0, "host": "hooks.example.com", "error": "no route"},
		},
		"has time for one more": {
			ago: webhook.GiveUp - 66*time.Minute - time.Minute, answer: refusal(500), tries: 30, after: time.Hour, outcome: "failed",
			line: map[string]any{"level": "WARN", "msg": "webhook failed", "try": 31.0, "host": "hooks.example.com", "status": 500.0},
		},
		"has no time for one more": {
			ago: webhook.GiveUp - 59*time.Minute, answer: refusal(500), tries: 30, archive: true, settled: "given up", outcome: "given_up",
			line: map[string]any{"level": "ERROR", "msg": "webhook given up", "try": 31.0, "host": "hooks.example.com", "status": 500.0},
		},
		"is tried once, however late": {
			ago: 2 * webhook.GiveUp, answer: noRoute, archive: true, settled: "given up", outcome: "given_up",
			line: map[string]any{"level": "ERROR", "msg": "webhook given up", "try": 1.0, "host": "hooks.example.com", "error": "no route"},
		},
		"is not wanted": {
			answer: refusal(410), archive: true, settled: "given up", outcome: "given_up",
			line: map[string]any{"level": "ERROR", "msg": "webhook given up", "try": 1.0, "host": "hooks.example.com", "status": 410.0},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(c.ago, c.answer)
			p.deliveries.tries = c.tries
			err := p.notifier.Deliver(t.Context(), queue.Errand{Task: p.task})
			retry, again := errors.AsType[*queue.RetryError](err)
			if again != (c.after != 0) || errors.Is(err, queue.ErrArchive) != c.archive || (err == nil) != (c.after == 0 && !c.archive) {
				t.Fatalf("error = %v", err)
			}
			if again && (retry.After < c.after || retry.After > c.after+c.after/10) {
				t.Errorf("again in %v, want %v or up to a tenth more", retry.After, c.after)
			}
			if c.answer != nil && !errors.Is(err, c.answer) {
				t.Errorf("error = %v does not wrap %v", err, c.answer)
			}
			if p.deliveries.settled != c.settled {
				t.Errorf("settled: %q, want %q", p.deliveries.settled, c.settled)
			}
			if diff := cmp.Diff(map[string]int{"webhook " + c.outcome: 1}, p.metrics.counts); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			line := p.line(t)
			if again && line["retry_after_ms"] != float64(retry.After.Milliseconds()) {
				t.Errorf("retry_after_ms is %v", line["retry_after_ms"])
			}
			delete(line, "retry_after_ms")
			if diff := cmp.Diff(c.line, line); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
			if strings.Contains(p.log.String(), "p4th") || strings.Contains(p.log.String(), "v4lue") {
				t.Errorf("the log holds the URL: %s", p.log.String())
			}
		})
	}
}

func TestDeliverSendsTheEvent(t *testing.T) {
	t.Parallel()
	p := newPost(time.Minute, nil)
	if err := p.notifier.Deliver(t.Context(), queue.Errand{Task: p.task}); err != nil {
		t.Fatal(err)
	}
	want, err := webhook.NewMessage(p.deliveries.job, map[string]any{"id": p.task.Job, "object": "job"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]webhook.Message{want}, p.sends.got); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestDeliverNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*post){
		"delivered": func(p *post) { p.deliveries.settled = "delivered" },
		"given up":  func(p *post) { p.deliveries.settled = "given up" },
		"forgotten": func(p *post) { p.deliveries.job.ID = job.NewID() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(0, nil)
			change(p)
			if err := p.notifier.Deliver(t.Context(), queue.Errand{Task: p.task}); err != nil {
				t.Error(err)
			}
			if len(p.sends.got) != 0 || len(p.metrics.counts) != 0 || p.log.String() != "" {
				t.Errorf("sent %d, counted %v, logged %s", len(p.sends.got), p.metrics.counts, p.log.String())
			}
		})
	}
}

// A job that goes on has no end to tell of. Its record says so by mistake: a fault, not a retry of ours.
func TestDeliverOfAJobThatGoesOn(t *testing.T) {
	t.Parallel()
	p := newPost(0, nil)
	p.deliveries.job.Status = job.StatusInProgress
	err := p.notifier.Deliver(t.Context(), queue.Errand{Task: p.task})
	if _, again := errors.AsType[*queue.RetryError](err); err == nil || again || len(p.sends.got) != 0 {
		t.Errorf("error = %v, sent %d", err, len(p.sends.got))
	}
}

func TestDeliverWithoutTheRecord(t *testing.T) {
	t.Parallel()
	away := errors.New("redis is away")
	gone := fmt.Errorf("deliver: %w", &webhook.StatusError{Code: 410})
	cases := map[string]struct {
		answer  error
		begin   bool
		sent    int
		outcome map[string]int
	}{
		"at first":            {nil, true, 0, nil},
		"when it has arrived": {nil, false, 1, map[string]int{"webhook delivered": 1}},
		"when it is given up": {gone, false, 1, map[string]int{"webhook given_up": 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(0, c.answer)
			p.deliveries.endErr = away
			if c.begin {
				p.deliveries.beginErr = away
			}
			err := p.notifier.Deliver(t.Context(), queue.Errand{Task: p.task})
			retry, again := errors.AsType[*queue.RetryError](err)
			if !again || retry.After < time.Second || retry.After > 10*time.Second || !errors.Is(err, away) || errors.Is(err, queue.ErrArchive) {
				t.Errorf("error = %v", err)
			}
			if len(p.sends.got) != c.sent {
				t.Errorf("sent %d, want %d", len(p.sends.got), c.sent)
			}
			if diff := cmp.Diff(c.outcome, p.metrics.counts); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			if !strings.Contains(p.log.String(), "webhook record not reached") {
				t.Errorf("log: %s", p.log.String())
			}
		})
	}
}

func TestDeliverWhileStopping(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		begin   bool  // the stop comes before the record answers
		answer  error // of the sender, with the stop
		settled string
	}{
		"before it begins":  {true, nil, ""},
		"in mid-try":        {false, fmt.Errorf("deliver webhook to hooks.example.com: %w", queue.ErrStopping), ""},
		"as it has arrived": {false, nil, "delivered"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			p := newPost(0, nil)
			p.sends.answerFunc = func() error {
				cancel(queue.ErrStopping)
				return c.answer
			}
			if c.begin {
				cancel(queue.ErrStopping)
				p.deliveries.beginErr = ctx.Err()
			}
			err := p.notifier.Deliver(ctx, queue.Errand{Task: p.task})
			if c.settled != "" {
				if err != nil || p.deliveries.settled != c.settled || p.deliveries.endDone {
					t.Errorf("error = %v, settled: %q", err, p.deliveries.settled)
				}
				return
			}
			retry, again := errors.AsType[*queue.RetryError](err)
			if !again || retry.After != 0 || !errors.Is(err, queue.ErrStopping) || p.deliveries.settled != "" || len(p.metrics.counts) != 0 {
				t.Errorf("error = %v, settled: %q, counted %v", err, p.deliveries.settled, p.metrics.counts)
			}
		})
	}
}

// A receiver that stays away is tried for a day and then given up, always with the same message.
func TestDeliverForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPost(0, errors.New("no route"))
		start := time.Now()
		for {
			err := p.notifier.Deliver(t.Context(), queue.Errand{Task: p.task})
			retry, again := errors.AsType[*queue.RetryError](err)
			if !again {
				if !errors.Is(err, queue.ErrArchive) {
					t.Errorf("error = %v", err)
				}
				break
			}
			<-time.After(retry.After)
		}
		if took := time.Since(start); took < webhook.GiveUp-67*time.Minute || took > webhook.GiveUp {
			t.Errorf("given up after %v", took)
		}
		for _, m := range p.sends.got {
			if diff := cmp.Diff(p.sends.got[0], m); diff != "" {
				t.Fatalf("another message:\n%s", diff)
			}
		}
		if n := len(p.sends.got); n < 30 || n > 34 {
			t.Errorf("%d tries", n)
		}
		if err := p.notifier.Deliver(t.Context(), queue.Errand{Task: p.task}); err != nil || p.deliveries.settled != "given up" {
			t.Errorf("afterwards: %v, %q", err, p.deliveries.settled)
		}
	})
}
