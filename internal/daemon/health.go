package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/admin"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
)

// healthTimeout bounds one question to Redis.
const healthTimeout = time.Second

// health answers whether a process can do its work.
type health struct {
	client   redis.UniversalClient
	more     func() []admin.Check // nil: none
	draining atomic.Bool
}

func (h *health) drain() { h.draining.Store(true) }

// warnOfEviction names, at start, a Redis that may throw the queue away. Where Redis is away it says nothing: /readyz does.
func (h *health) warnOfEviction(ctx context.Context, log *slog.Logger) {
	if policy := h.evicts(ctx); policy != "" {
		log.WarnContext(ctx, "redis may evict keys: accepted jobs can be lost", slog.String("maxmemory_policy", policy),
			slog.String("want", "noeviction"))
	}
}

// evicts returns the policy of a Redis that may evict keys, else nothing.
func (h *health) evicts(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	policy, known, err := redisconn.EvictionPolicy(ctx, h.client)
	if err != nil || !known || policy == "noeviction" {
		return ""
	}
	return policy
}

// check runs the checks of /readyz.
func (h *health) check(ctx context.Context) []admin.Check {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	redis := admin.Check{Name: "redis", Err: h.client.Ping(ctx).Err()}
	if redis.Err == nil {
		if policy := h.evicts(ctx); policy != "" {
			redis.Warning = "maxmemory-policy is " + policy + ": accepted jobs can be lost; set noeviction"
		}
	}
	checks := []admin.Check{redis}
	if h.more != nil {
		checks = append(checks, h.more()...)
	}
	if h.draining.Load() {
		checks = append(checks, admin.Check{Name: "lifecycle", Err: errors.New("stopping")})
	}
	return checks
}
