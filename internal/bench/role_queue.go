package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
)

// The queue by itself: a requester puts a task into it and waits until a worker, in another process, has published that
// it did it. There is no HTTP, no record and nothing to do.

const queueUpstream = "bench"

// trips is what a requester says of its round trips.
type trips struct {
	Trips    int     `json:"trips"`
	MedianMS float64 `json:"median_ms"`
	P99MS    float64 `json:"p99_ms"`
	Rate     float64 `json:"rate"` // a second
}

// runRequester makes round trips, o.concurrency at once, and says how they went.
func runRequester(ctx context.Context, o roleOptions, out io.Writer) error {
	client, err := redisconn.New("redis://" + o.redis + "/0")
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close() //nolint:errcheck // nothing is left to be written
	if o.kind == nameOurs {
		redisconn.Combine(client) // as both processes of the gateway do
	}
	results := waiters{by: make(map[string]chan string)}
	if err := results.run(ctx, client, asynqResults); err != nil {
		return err
	}
	enqueue, newID := oursEnqueuer(client)
	if o.kind == nameAsynq {
		tasks := asynq.NewClient(asynq.RedisClientOpt{Addr: o.redis})
		defer tasks.Close() //nolint:errcheck // nothing is left to be written
		enqueue, newID = func(ctx context.Context, id string) error {
			if _, err := tasks.EnqueueContext(ctx, asynq.NewTask(asynqTask, nil), asynq.TaskID(id)); err != nil {
				return fmt.Errorf("enqueue: %w", err)
			}
			return nil
		}, rand.Text
	}
	once := func(ctx context.Context, _ int) error {
		id := newID()
		done := results.add(id)
		defer results.remove(id)
		if err := enqueue(ctx, id); err != nil {
			return fmt.Errorf("queue a task: %w", err)
		}
		select {
		case <-done:
			return nil
		case <-time.After(callTimeout):
			return errors.New("no result came")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if warm := loop(ctx, o.concurrency, 1, 0, once); warm.first != nil {
		return warm.first
	}
	done := loop(ctx, o.concurrency, o.calls/o.concurrency, 0, once)
	if done.first != nil {
		return done.first
	}
	const milli = 1e3
	err = json.NewEncoder(out).Encode(trips{
		len(done.samples), quantile(done.samples, half) * milli, quantile(done.samples, p99) * milli, done.rate(),
	})
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// oursEnqueuer queues tasks as the api does.
func oursEnqueuer(client redis.UniversalClient) (enqueue func(ctx context.Context, id string) error, newID func() string) {
	tasks := queue.NewClient(client)
	name := job.QueueName(queueUpstream, job.LaneExpress)
	return func(ctx context.Context, id string) error {
		return tasks.Enqueue(ctx, job.Task{Job: job.ID(id), Queue: name})
	}, func() string { return string(job.NewID()) }
}

// runQueueWorker does tasks until ctx ends.
func runQueueWorker(ctx context.Context, o roleOptions, log *slog.Logger) error {
	client, err := redisconn.New("redis://" + o.redis + "/0")
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close() //nolint:errcheck // nothing is left to be written
	publish := func(ctx context.Context, id string) error {
		if err := client.Publish(ctx, asynqResults, id).Err(); err != nil {
			return fmt.Errorf("publish a result: %w", err)
		}
		return nil
	}
	if o.kind == nameAsynq {
		return runAsynqQueueWorker(ctx, o, publish, log)
	}
	redisconn.Combine(client)
	clients := queue.Clients{Commands: client}
	for _, c := range []*redis.UniversalClient{&clients.Asynq, &clients.Listen} {
		if *c, err = redisconn.New("redis://"+o.redis+"/0", func(o *redis.UniversalOptions) { o.MaxRetries = -1 }); err != nil {
			return fmt.Errorf("make a client: %w", err)
		}
		defer (*c).Close() //nolint:errcheck // nothing is left to be written
	}
	server := queue.NewServer(clients, queue.ServerConfig{
		Upstreams: map[string]int{queueUpstream: 0}, Concurrency: o.concurrency,
	}, log)
	log.InfoContext(ctx, roleReady)
	err = server.Run(ctx, queue.Handlers{Picture: func(ctx context.Context, e queue.Errand) error {
		return publish(ctx, string(e.Job))
	}})
	if err != nil {
		return fmt.Errorf("run the worker: %w", err)
	}
	return nil
}

func runAsynqQueueWorker(ctx context.Context, o roleOptions, publish func(context.Context, string) error, log *slog.Logger) error {
	server := asynq.NewServer(asynq.RedisClientOpt{Addr: o.redis}, asynq.Config{
		Concurrency: o.concurrency, LogLevel: asynq.WarnLevel, TaskCheckInterval: o.interval, // zero: asynq's default
	})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		return publish(ctx, id)
	}))
	if err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	log.InfoContext(ctx, roleReady)
	<-ctx.Done()
	server.Shutdown()
	return nil
}
