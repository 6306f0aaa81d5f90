package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// blocking returns a handler that tells of its start and goes on until release is closed, or gets a value.
func blocking(release <-chan struct{}) (h queue.Handler, started chan job.Task) {
	started = make(chan job.Task, 100)
	return func(ctx context.Context, task queue.Errand) error {
		started <- task.Task
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}, started
}

// Deliveries neither need a slot of the upstream nor use one.
func TestDeliveriesHaveSlotsOfTheirOwn(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		release := make(chan struct{})
		picture, drawing := blocking(release)
		webhook, delivering := blocking(release)
		stop := serveAll(t, url, queue.ServerConfig{Concurrency: 1, GlobalLimit: 1}, queue.Handlers{Picture: picture, Webhook: webhook})
		client := queue.NewClient(connect(t, url))
		enqueue(t, client, newTask(job.LaneBulk), newTask(job.LaneBulk))
		receive(t, drawing, "picture")
		for range 6 {
			enqueue(t, client, job.WebhookTask(job.NewID()))
		}
		for range 4 {
			if task := receive(t, delivering, "delivery beside a busy upstream"); !task.IsWebhook() {
				t.Errorf("delivers %+v", task)
			}
		}
		if len(delivering) > 0 || len(drawing) > 0 {
			t.Errorf("%d deliveries and %d pictures started beyond the limits", len(delivering), len(drawing))
		}
		close(release)
		for range 2 {
			receive(t, delivering, "delivery in a slot that came free")
		}
		receive(t, drawing, "the other picture")
		stop()
	})
}

// A delivery that waits for a slot of its own is not kept waiting by an idle upstream.
func TestADeliveryFollowsAnother(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		release := make(chan struct{})
		webhook, delivering := blocking(release)
		serveAll(t, url, queue.ServerConfig{Concurrency: 1}, queue.Handlers{Webhook: webhook})
		client := queue.NewClient(connect(t, url))
		for range 5 {
			enqueue(t, client, job.WebhookTask(job.NewID()))
		}
		for range 4 {
			receive(t, delivering, "delivery")
		}
		raw := connect(t, url)
		waitUntil(t, "no token is left", func() bool { return raw.LLen(t.Context(), "zimage:{dispatch}:wake:webhooks").Val() == 0 })
		began := time.Now()
		release <- struct{}{}
		receive(t, delivering, "the fifth delivery")
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the fifth delivery started %v after the first ended: nobody was told", took)
		}
		close(release)
	})
}

// A worker that is refused an upstream slot, as others hold them all, delivers meanwhile.
func TestARefusedWorkerDelivers(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		release := make(chan struct{})
		picture, drawing := blocking(release)
		webhook, delivering := blocking(release)
		cfg := queue.ServerConfig{Concurrency: 2, GlobalLimit: 1}
		serve(t, url, cfg, picture)
		client := queue.NewClient(connect(t, url))
		enqueue(t, client, newTask(job.LaneExpress))
		receive(t, drawing, "picture")
		enqueue(t, client, newTask(job.LaneExpress))
		serveAll(t, url, cfg, queue.Handlers{Picture: picture, Webhook: webhook})
		for range 3 {
			enqueue(t, client, job.WebhookTask(job.NewID()))
			receive(t, delivering, "delivery by a worker without an upstream slot")
		}
		close(release)
		receive(t, drawing, "the other picture")
	})
}

func TestWithoutAHandlerDeliveriesStay(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		drawn := make(chan job.Task, 10)
		serve(t, url, queue.ServerConfig{}, func(_ context.Context, task queue.Errand) error {
			drawn <- task.Task
			return nil
		})
		client := queue.NewClient(connect(t, url))
		webhook := job.WebhookTask(job.NewID())
		enqueue(t, client, webhook)
		for range 3 {
			enqueue(t, client, newTask(job.LaneExpress))
			receive(t, drawn, "picture")
		}
		if places, _, err := client.Outlook(t.Context(), webhook); err != nil || places[0] != 1 {
			t.Errorf("place of the delivery = %v, %v; want 1", places, err)
		}
		delivered := make(chan job.Task, 1)
		serveAll(t, url, queue.ServerConfig{}, queue.Handlers{Webhook: func(_ context.Context, task queue.Errand) error {
			delivered <- task.Task
			return nil
		}})
		if got := receive(t, delivered, "delivery elsewhere"); got != webhook {
			t.Errorf("delivers %+v, want %+v", got, webhook)
		}
	})
}

// A delivery comes again like a picture. One that was archived counts as lost, and runs again once it is removed.
func TestEndsOfADelivery(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		ends := make(chan error, 3)
		ends <- &queue.RetryError{After: time.Millisecond, Err: errors.New("503")}
		ends <- fmt.Errorf("%w: 410", queue.ErrArchive)
		ends <- nil
		ran := make(chan job.Task, 3)
		serveAll(t, url, queue.ServerConfig{}, queue.Handlers{Webhook: func(_ context.Context, task queue.Errand) error {
			ran <- task.Task
			return <-ends
		}})
		client, task := queue.NewClient(connect(t, url)), job.WebhookTask(job.NewID())
		inspector := asynq.NewInspectorFromRedisClient(connect(t, url))
		enqueue(t, client, task)
		receive(t, ran, "first try")
		receive(t, ran, "second try")
		waitUntil(t, "the delivery is archived", func() bool {
			info, err := inspector.GetTaskInfo(task.Queue, task.ID())
			return err == nil && info.State == asynq.TaskStateArchived
		})
		if lost, err := client.Lost(t.Context(), []job.Task{task}); err != nil || !lost[0] {
			t.Errorf("lost = %v, %v; want an archived delivery to be", lost, err)
		}
		if err := client.Remove(t.Context(), task); err != nil {
			t.Fatal(err)
		}
		enqueue(t, client, task)
		receive(t, ran, "third try")
		waitUntil(t, "the delivery is forgotten", func() bool {
			_, err := inspector.GetTaskInfo(task.Queue, task.ID())
			return errors.Is(err, asynq.ErrTaskNotFound)
		})
	})
}
