package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/admin"
	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/telemetry"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

// adminDrain is how long a scrape or a profile may take to end.
const adminDrain = time.Second

// Build is what every process is given beside its settings.
type Build struct {
	Version string
	Log     *slog.Logger
	Metrics *telemetry.Metrics

	// memory is what IMAGE_STORE_URL=mem:// stands for; nil: it is refused. Only in standalone one process is all there is.
	memory *imagestore.Memory
	// exempt are private addresses, host:port, from which pictures may be fetched: standalone's own simulated upstream.
	exempt []string
}

// API runs the API process until ctx ends, then drains it. It returns nil on a clean stop.
func API(ctx context.Context, c config.API, b Build) error {
	return runAPI(ctx, c, b, func(net.Addr) {})
}

// runAPI tells ready the public address once it is open.
func runAPI(ctx context.Context, c config.API, b Build, ready func(net.Addr)) error {
	client, err := redisconn.New(c.RedisURL.Value())
	if err != nil {
		return fmt.Errorf("REDIS_URL: %w", err)
	}
	defer client.Close() //nolint:errcheck // nothing is left to be written
	redisconn.Combine(client)
	defer thrifty()()
	catalog, models, err := newCatalog(c)
	if err != nil {
		return err
	}
	store := job.NewStore(client, c.JobRetention)
	watcher := job.NewWatcher(client, store, b.Log)
	b.Metrics.RegisterWaiters(watcher.Waiting)
	guard := netguard.Guard{AllowPrivate: c.AllowPrivateAddresses, Exempt: b.exempt}
	fetcher := picture.NewFetcher(picture.Config{Guard: guard})
	defer fetcher.CloseIdleConnections()
	files, err := openFiles(ctx, c.Common, client, store, b)
	if err != nil {
		return err
	}
	defer files.Close() //nolint:errcheck // everything was written
	tasks := queue.NewClient(client)
	pauses := func(ctx context.Context, upstreams ...string) (map[string]time.Time, error) {
		return upstream.Pauses(ctx, client, upstreams...)
	}
	roster := &roster{queue: tasks, pausesFunc: pauses, models: models, log: b.Log}
	jobs := job.NewService(store, watcher, tasks, job.NewRateLimiter(client), job.ServiceConfig{
		MaxPending: c.QueueMaxPending, Drop: job.Drop(c.CancelOnDisconnect),
		PausesFunc: pauses, ServedFunc: roster.filter,
	}, b.Metrics, b.Log)
	handlerConfig := httpapi.Config{
		Jobs: jobs, Catalog: catalog, Keys: clientKeys(c),
		Logger: b.Log, Metrics: b.Metrics, MaxBodyBytes: c.MaxBodyBytes, SyncTimeout: c.SyncTimeout,
		StreamKeepalive: c.StreamKeepalive, CORSOrigins: c.CORSAllowedOrigins, TrustProxyHeaders: c.TrustProxyHeaders,
		PublicURL: c.PublicURL, Version: b.Version, Pictures: fetcher,
		SyncKeepalive: c.SyncKeepalive, DrawHousekeeping: !c.HousekeepingReplies, Files: files, RefuseUploads: !files.HasBucket(),
	}
	if c.WebhookSecret != "" {
		handlerConfig.CheckWebhookFunc = func(rawURL string) error { return webhook.CheckURL(guard, rawURL) }
	}
	handler, err := httpapi.New(handlerConfig)
	if err != nil {
		return fmt.Errorf("build the HTTP API: %w", err)
	}
	defer handler.Close()
	public, err := listen(ctx, "LISTEN_ADDR", c.ListenAddr)
	if err != nil {
		return err
	}
	private, err := listen(ctx, "ADMIN_ADDR", c.AdminAddr)
	if err != nil {
		_ = public.Close()
		return err
	}
	health := &health{client: client, more: func() []admin.Check { return []admin.Check{roster.check()} }}
	g := newGroup()
	g.start(ctx, watcher.Run)
	g.start(ctx, roster.run)
	g.start(ctx, jobs.Run)
	g.start(ctx, files.Run)
	g.start(ctx, func(ctx context.Context) error {
		return serve(ctx, private, adminHandler(b, health, admin.Queues(func() redis.UniversalClient { return client })), adminDrain, b.Log)
	})
	g.start(ctx, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() {
			health.drain()
			handler.Drain()
		})
		defer stop()
		return serve(ctx, public, handler, c.ShutdownTimeout, b.Log)
	})
	b.Log.InfoContext(ctx, "api is listening", slog.String("address", public.Addr().String()),
		slog.String("admin_address", private.Addr().String()), slog.String("version", b.Version))
	health.warnOfEviction(ctx, b.Log)
	ready(public.Addr())
	return g.wait(ctx)
}

// firstLook is the least time after which it is asked whether a picture's job is there, which is made after the picture.
const firstLook = 10 * time.Second

// openFiles opens the store of pictures, which is Redis where no bucket is set up. Who opens it closes it.
func openFiles(ctx context.Context, c config.Common, client redis.UniversalClient, jobs *job.Store, b Build) (*imagestore.Store, error) {
	s, err := imagestore.Open(ctx, imagestore.Config{
		URL: c.ImageStoreURL.Value(), Redis: client, Keeper: jobs, Retention: max(c.JobRetention, firstLook),
		Log: b.Log, Metrics: b.Metrics, Memory: b.memory,
	})
	if err != nil {
		return nil, Misconfigured(fmt.Errorf("IMAGE_STORE_URL: %w", err))
	}
	b.Metrics.InitStore()
	return s, nil
}

func newCatalog(c config.API) (*imagegen.Catalog, []imagegen.Model, error) {
	models := slices.Clone(c.Models)
	if models == nil {
		models = []imagegen.Model{imagegen.DefaultModel()}
	}
	models[0].Aliases = append(slices.Clone(models[0].Aliases), c.ModelAliases...)
	catalog, err := imagegen.NewCatalog(models)
	if err != nil {
		return nil, nil, Misconfigured(fmt.Errorf("MODEL_ALIASES: %w", err))
	}
	return catalog, models, nil
}

// clientKeys returns the keys of GATEWAY_API_KEY and those of CONFIG_FILE, with the limits that hold for each.
func clientKeys(c config.API) []httpapi.Key {
	keys := make([]httpapi.Key, 0, len(c.Keys)+len(c.ClientKeys))
	for _, plain := range c.Keys {
		k := httpapi.NewKey(plain.Value())
		k.RPM = c.RateLimitRPM
		keys = append(keys, k)
	}
	for _, named := range c.ClientKeys {
		k := httpapi.Key(named)
		k.RPM = cmp.Or(k.RPM, c.RateLimitRPM)
		keys = append(keys, k)
	}
	return keys
}

func adminHandler(b Build, h *health, queues http.Handler) http.Handler {
	return admin.New(admin.Config{Metrics: b.Metrics.Handler(), Ready: h.check, Queues: queues, Version: b.Version})
}
