package job

import (
	"context"
	"fmt"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// RateLimiter counts requests of client keys by GCRA, with a minute's worth of burst, over all processes.
type RateLimiter struct{ limiter *redis_rate.Limiter }

// NewRateLimiter returns a limiter on the client, which stays the caller's to close.
func NewRateLimiter(client redis.UniversalClient) RateLimiter {
	return RateLimiter{redis_rate.NewLimiter(client)}
}

// Allow counts a request of a key that may make rpm a minute. Where that is one too many it counts nothing, and wait says
// when there is room for one.
func (l RateLimiter) Allow(ctx context.Context, owner string, rpm int) (state Rate, wait time.Duration, ok bool, err error) {
	r, err := l.limiter.Allow(ctx, "zimage:"+owner, redis_rate.PerMinute(rpm))
	if err != nil {
		return Rate{}, 0, false, fmt.Errorf("count a request: %w", err)
	}
	return Rate{Limit: rpm, Remaining: r.Remaining, Reset: r.ResetAfter}, r.RetryAfter, r.Allowed > 0, nil
}
