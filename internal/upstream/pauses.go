package upstream

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Pauses returns until when those of the upstreams are spared calls that are, by this process' clock; a time in the past
// is that of one which is being tried again. The others are not in it.
func Pauses(ctx context.Context, client redis.UniversalClient, names ...string) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	pipe := client.Pipeline()
	clock := pipe.Time(ctx)
	replies := make(map[string]*redis.MapStringStringCmd, len(names))
	for _, name := range names {
		replies[name] = pipe.HGetAll(ctx, stateKey(name))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read how %d upstreams do: %w", len(names), err)
	}
	skew := time.Until(clock.Val())
	pauses := make(map[string]time.Time)
	for name, reply := range replies {
		s := parseState(reply.Val(), skew)
		if reply.Val()["probe"] != "" { // its time says when another may be sent if it is lost, not how long this one takes
			s.until = time.Now()
		}
		if !s.until.IsZero() {
			pauses[name] = s.until
		}
	}
	return pauses, nil
}
