package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

// deliveryRecordPause is the pause of a delivery whose record was not reached.
const deliveryRecordPause = 5 * time.Second

// The outcomes of a try to deliver an event.
const (
	webhookDelivered = "delivered"
	webhookFailed    = "failed"   // it is tried again
	webhookGivenUp   = "given_up" // it is not
)

// Deliveries is the job record as deliveries need it.
type Deliveries interface {
	// BeginDelivery counts a try. due is false where nothing is to be told (any more): delivered, given up, or no record.
	BeginDelivery(ctx context.Context, id job.ID) (d job.Delivery, due bool, err error)
	// EndDelivery settles the delivery for good.
	EndDelivery(ctx context.Context, id job.ID, delivered bool) error
}

// Sender makes one try to deliver a message. webhook.Sender is one.
type Sender interface {
	Send(ctx context.Context, rawURL string, m webhook.Message) error
}

// NotifierMetrics is told of every try to deliver an event that came to an end.
type NotifierMetrics interface {
	WebhookDone(outcome string, d time.Duration)
}

// Notifier tells clients' servers how jobs ended. It is safe for concurrent use.
type Notifier struct {
	deliveries Deliveries
	sender     Sender
	renderFunc func(job.Job) any // what clients see of a job
	metrics    NotifierMetrics
	log        *slog.Logger
}

// NewNotifier returns a notifier; render returns what clients see of a job.
func NewNotifier(d Deliveries, s Sender, render func(job.Job) any, m NotifierMetrics, log *slog.Logger) *Notifier {
	return &Notifier{deliveries: d, sender: s, renderFunc: render, metrics: m, log: log}
}

// Deliver makes one try to tell of the end of the task's job; it is a [queue.Handler] for the tasks of job.WebhookQueue.
// An event whose arrival cannot be recorded is sent again, with the same id.
func (n *Notifier) Deliver(ctx context.Context, t queue.Errand) error {
	d, due, err := n.deliveries.BeginDelivery(ctx, t.Job)
	switch {
	case err != nil && ctx.Err() != nil:
		return &queue.RetryError{Err: context.Cause(ctx)}
	case err != nil:
		return n.recordAway(ctx, t.Job, "begin", err)
	case !due:
		return nil
	}
	message, err := webhook.NewMessage(d.Job, n.renderFunc(d.Job))
	if err != nil {
		return err
	}
	began := time.Now()
	err = n.sender.Send(ctx, d.URL, message)
	took := time.Since(began)
	log := n.log.With(slog.String("job_id", string(t.Job)), slog.Int("try", d.Try), slog.String("host", hostOf(d.URL)),
		slog.Int64("duration_ms", took.Milliseconds()))
	if err == nil {
		n.metrics.WebhookDone(webhookDelivered, took)
		log.InfoContext(ctx, "webhook delivered")
		return n.settle(ctx, t.Job, true)
	}
	if errors.Is(err, queue.ErrStopping) {
		return &queue.RetryError{Err: queue.ErrStopping} // handed back: another worker may take it at once
	}
	after := webhook.Delay(d.Try)
	if errors.Is(err, webhook.ErrGone) || time.Now().Add(after).After(d.Job.CompletedAt.Add(webhook.GiveUp)) {
		n.metrics.WebhookDone(webhookGivenUp, took)
		log.LogAttrs(ctx, slog.LevelError, "webhook given up", failure(err))
		if err := n.settle(ctx, t.Job, false); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", queue.ErrArchive, err)
	}
	n.metrics.WebhookDone(webhookFailed, took)
	log.LogAttrs(ctx, slog.LevelWarn, "webhook failed", failure(err), slog.Int64("retry_after_ms", after.Milliseconds()))
	return &queue.RetryError{After: after, Err: err}
}

// settle records the end of a delivery, also where the process is out of time meanwhile.
func (n *Notifier) settle(ctx context.Context, id job.ID, delivered bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordGrace)
	defer cancel()
	if err := n.deliveries.EndDelivery(ctx, id, delivered); err != nil {
		return n.recordAway(ctx, id, "end", err)
	}
	return nil
}

// recordAway brings the task again later.
func (n *Notifier) recordAway(ctx context.Context, id job.ID, step string, err error) error {
	n.log.WarnContext(ctx, "webhook record not reached; trying again", slog.String("job_id", string(id)),
		slog.String("step", step), slog.Any("error", err))
	return &queue.RetryError{After: deliveryRecordPause, Err: fmt.Errorf("%s delivery: %w", step, err)}
}

// failure is what the log tells of a try that failed.
func failure(err error) slog.Attr {
	if status, ok := errors.AsType[*webhook.StatusError](err); ok {
		return slog.Int("status", status.Code)
	}
	return slog.Any("error", err)
}

// hostOf returns the part of a URL that may be logged: the rest may be a client's secret.
func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Host
}
