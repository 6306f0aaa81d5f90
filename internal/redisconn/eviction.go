package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// NoEviction is the only policy under which Redis never drops a key of ours when memory runs out.
const NoEviction = "noeviction"

// EvictionPolicy returns the server's maxmemory-policy, and with a Cluster that of a master which is not [NoEviction], if
// there is one. A server that answers but will not tell (some hosted ones, miniredis) gives known = false and no error.
func EvictionPolicy(ctx context.Context, client redis.UniversalClient) (policy string, known bool, err error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return evictionPolicy(ctx, client)
	}
	var mu sync.Mutex // guards the results; masters are asked side by side
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		p, k, err := evictionPolicy(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		if k && (!known || p != NoEviction) {
			policy, known = p, true
		}
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("ask the masters for maxmemory-policy: %w", err)
	}
	return policy, known, nil
}

func evictionPolicy(ctx context.Context, client redis.Cmdable) (policy string, known bool, err error) {
	info, err := client.Info(ctx, "memory").Result()
	if err = ignoreRefusal(err); err != nil {
		return "", false, fmt.Errorf("ask Redis for INFO memory: %w", err)
	}
	for line := range strings.Lines(info) {
		if p, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
			return strings.TrimSpace(p), true, nil
		}
	}
	conf, err := client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err = ignoreRefusal(err); err != nil {
		return "", false, fmt.Errorf("ask Redis for maxmemory-policy: %w", err)
	}
	policy, known = conf["maxmemory-policy"]
	return policy, known, nil
}

// ignoreRefusal drops the error of a server that answered and declined: the command is unknown or forbidden there. One
// that is still loading its data answers too, but will tell later.
func ignoreRefusal(err error) error {
	if _, refused := errors.AsType[redis.Error](err); refused && !redis.IsLoadingError(err) {
		return nil
	}
	return err
}
