package daemon

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
	"github.com/zimage-gateway/zimage-gateway/internal/worker"
)

// Worker runs the worker process until ctx ends, then lets its calls end or hands them back. It returns nil on a clean
// stop. Without an AdminAddr it has no admin listener.
func Worker(ctx context.Context, c config.Worker, b Build) error {
	clients, closeAll, err := workerClients(c.RedisURL.Value())
	if err != nil {
		return fmt.Errorf("REDIS_URL: %w", err)
	}
	defer closeAll()
	store := job.NewStore(clients.Commands, c.JobRetention)
	watcher := job.NewCancelWatcher(clients.Commands, store, b.Log)
	tasks := queue.NewClient(clients.Commands)
	files, err := openFiles(ctx, c.Common, clients.Commands, store, b)
	if err != nil {
		return err
	}
	defer files.Close() //nolint:errcheck // everything was written
	fetcher := picture.NewFetcher(picture.Config{Guard: netguard.Guard{AllowPrivate: c.AllowPrivateAddresses, Exempt: b.exempt}})
	defer fetcher.CloseIdleConnections()
	upstreams, err := newUpstreams(c, clients.Commands, tasks.Resume, source{files, fetcher}.get, b)
	if err != nil {
		return err
	}
	defer upstreams.closeIdleConnections()
	processor := worker.NewProcessor(store, watcher, tasks, worker.Config{
		Upstreams: upstreams.rules, MaxAttempts: c.MaxAttempts, RetryBaseDelay: c.RetryBaseDelay,
		Keeper: imagestore.NewCopier(files, fetcher, b.Log),
	}, b.Metrics, b.Log)
	handlers := queue.Handlers{Picture: processor.Process}
	if c.WebhookSecret != "" {
		sender, err := newSender(c, b)
		if err != nil {
			return err
		}
		defer sender.CloseIdleConnections()
		b.Metrics.InitWebhooks()
		notifier := worker.NewNotifier(store, sender, func(j job.Job) any { return openai.NewJob(j, job.Outlook{}) }, b.Metrics, b.Log)
		handlers.Webhook = notifier.Deliver
	}
	server := queue.NewServer(clients, queue.ServerConfig{
		Begin:     queue.Begin{Records: store, Rules: processor.Begin()},
		Upstreams: upstreams.limits, Marks: upstreams.marks, Elsewhere: upstreams.elsewhere, Gate: upstream.NewGate(upstreams.pools...),
		Concurrency: c.Concurrency, GlobalLimit: c.UpstreamMaxConcurrency, ShutdownTimeout: c.ShutdownTimeout, OnPanic: func() { b.Metrics.Panicked("task") },
	}, b.Log)
	sweeper := job.NewSweeper(store, tasks, b.Log)
	health := &health{client: clients.Commands}

	g := newGroup()
	started := []slog.Attr{
		slog.Int("concurrency", c.Concurrency), slog.Int("upstream_max_concurrency", c.UpstreamMaxConcurrency),
		slog.String("version", b.Version),
	}
	if c.AdminAddr != "" {
		private, err := listen(ctx, "ADMIN_ADDR", c.AdminAddr)
		if err != nil {
			return err
		}
		started = append(started, slog.String("admin_address", private.Addr().String()))
		g.start(ctx, func(ctx context.Context) error {
			return serve(ctx, private, adminHandler(b, health, nil), adminDrain, b.Log)
		})
	}
	g.start(ctx, watcher.Run)
	g.start(ctx, func(ctx context.Context) error {
		processor.KeepMarks(ctx)
		return nil
	})
	g.start(ctx, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, health.drain)
		defer stop()
		return server.Run(ctx, handlers)
	})
	g.start(ctx, sweeper.Run)
	b.Log.LogAttrs(ctx, slog.LevelInfo, "worker is running", started...)
	health.warnOfEviction(ctx, b.Log)
	return g.wait(ctx)
}

func newSender(c config.Worker, b Build) (*webhook.Sender, error) {
	secret, err := webhook.ParseSecret(c.WebhookSecret.Value())
	if err != nil {
		return nil, Misconfigured(fmt.Errorf("WEBHOOK_SECRET: %w", err))
	}
	sender, err := webhook.NewSender(webhook.Config{
		Secret: secret, Guard: netguard.Guard{AllowPrivate: c.AllowPrivateAddresses}, Version: b.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("build the sender of webhooks: %w", err)
	}
	return sender, nil
}

// workerClients opens the three connections of a worker's queue server.
func workerClients(url string) (queue.Clients, func(), error) {
	once := func(o *redis.UniversalOptions) { o.MaxRetries = -1 }
	var clients queue.Clients
	var open []redis.UniversalClient
	for _, c := range []struct {
		into *redis.UniversalClient
		tune []func(*redis.UniversalOptions)
	}{
		{&clients.Commands, nil},
		{&clients.Asynq, []func(*redis.UniversalOptions){once}},
		{&clients.Listen, []func(*redis.UniversalOptions){once}},
	} {
		client, err := redisconn.New(url, c.tune...)
		if err != nil {
			return queue.Clients{}, nil, err
		}
		*c.into = client
		open = append(open, client)
	}
	redisconn.Combine(clients.Commands)
	return clients, func() {
		for _, c := range open {
			_ = c.Close()
		}
	}, nil
}
