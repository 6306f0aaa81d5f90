package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// The asynq side is the plainest program that does the job: an HTTP server queues a task for each call and waits for its
// result, which the worker publishes. What it leaves out is what the gateway is for: records, retries that cost nothing
// twice, limits, fairness, cancelling.

const (
	asynqTask    = "bench:picture"
	asynqResults = "bench:results" // Pub/Sub channel: "<task id> <picture URL>"
)

// waiters are those who wait for results, by task.
type waiters struct {
	mu sync.Mutex
	by map[string]chan string
}

func (w *waiters) add(id string) <-chan string {
	c := make(chan string, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.by[id] = c
	return c
}

func (w *waiters) remove(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.by, id)
}

// run hands out what is published until ctx ends. One subscription serves all.
func (w *waiters) run(ctx context.Context, client redis.UniversalClient, channel string) error {
	sub := client.Subscribe(ctx, channel)
	if _, err := sub.Receive(ctx); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	const buffer = 4096
	go func() {
		for m := range sub.Channel(redis.WithChannelSize(buffer)) {
			id, result, _ := strings.Cut(m.Payload, " ")
			w.mu.Lock()
			if c, ok := w.by[id]; ok {
				delete(w.by, id)
				c <- result
			}
			w.mu.Unlock()
		}
	}()
	context.AfterFunc(ctx, func() { _ = sub.Close() })
	return nil
}

func runAsynqAPI(ctx context.Context, o roleOptions, log *slog.Logger) error {
	client := redis.NewClient(&redis.Options{Addr: o.redis})
	defer client.Close() //nolint:errcheck // nothing is left to be written
	results := waiters{by: make(map[string]chan string)}
	if err := results.run(ctx, client, asynqResults); err != nil {
		return err
	}
	tasks := asynq.NewClient(asynq.RedisClientOpt{Addr: o.redis})
	defer tasks.Close() //nolint:errcheck // nothing is left to be written
	return serve(ctx, pictures(func(ctx context.Context, order []byte) (string, error) {
		return drawByAsynq(ctx, order, tasks, &results)
	}), log)
}

func drawByAsynq(ctx context.Context, order []byte, tasks *asynq.Client, results *waiters) (url string, err error) {
	id := rand.Text()
	result := results.add(id)
	defer results.remove(id)
	if _, err := tasks.EnqueueContext(ctx, asynq.NewTask(asynqTask, order), asynq.TaskID(id)); err != nil {
		return "", fmt.Errorf("queue the task: %w", err)
	}
	select {
	case url = <-result:
		return url, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func runAsynqWorker(ctx context.Context, o roleOptions, log *slog.Logger) error {
	client := redis.NewClient(&redis.Options{Addr: o.redis})
	defer client.Close() //nolint:errcheck // nothing is left to be written
	upstream, done := upstreamClient(o)
	defer done()
	// Everything but the concurrency is at its default: TaskCheckInterval is a second.
	server := asynq.NewServer(asynq.RedisClientOpt{Addr: o.redis}, asynq.Config{Concurrency: o.concurrency, LogLevel: asynq.WarnLevel})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		url, err := orderPicture(ctx, upstream, o.upstream, t.Payload())
		if err != nil {
			return err
		}
		if err := client.Publish(ctx, asynqResults, id+" "+url).Err(); err != nil {
			return fmt.Errorf("publish the result: %w", err)
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	log.InfoContext(ctx, roleReady)
	<-ctx.Done()
	server.Shutdown()
	return nil
}

// orderPicture calls the upstream.
func orderPicture(ctx context.Context, client *http.Client, endpoint string, order []byte) (url string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(order))
	if err != nil {
		return "", fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+upstreamKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("call upstream: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("read the upstream's reply: %w", err)
	}
	var reply struct {
		Data struct {
			ImageURL string `json:"image_url"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return "", fmt.Errorf("decode the upstream's reply: %w", err)
	}
	if resp.StatusCode != http.StatusOK || reply.Data.ImageURL == "" {
		return "", errors.New("the upstream declined")
	}
	return reply.Data.ImageURL, nil
}
