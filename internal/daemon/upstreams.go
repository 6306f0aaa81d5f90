package daemon

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/exacg"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/openaiimages"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/sdwebui"
	"github.com/zimage-gateway/zimage-gateway/internal/worker"
)

// upstreams are those that a worker serves.
type upstreams struct {
	pools     []*upstream.Pool
	rules     map[string]worker.Upstream // by name
	limits    map[string]int             // by name: calls at once over all workers; 0: no limit
	marks     map[string]string          // by name: tells it from another of the same name
	elsewhere map[string][]string        // by name: the others of the models that have it
}

func newUpstreams(
	c config.Worker, client redis.UniversalClient, resume func(context.Context, string) error, source adapter.SourceFunc, b Build,
) (*upstreams, error) {
	all := &upstreams{
		rules: make(map[string]worker.Upstream), limits: make(map[string]int), marks: make(map[string]string),
		elsewhere: alternatives(c.Models),
	}
	for _, u := range c.Upstreams {
		keys, err := providers(u, source)
		if err != nil {
			return nil, Misconfigured(fmt.Errorf("upstream %s: %w", u.Name, err))
		}
		pool := upstream.NewPool(upstream.Config{
			Name: u.Name, Keys: keys, Rules: upstream.Rules{Threshold: c.BreakerThreshold, Cooldown: c.BreakerCooldown},
			Redis: client, Resume: resume, Metrics: b.Metrics, Log: b.Log,
		})
		b.Metrics.InitUpstream(u.Name, len(keys))
		for _, other := range all.elsewhere[u.Name] {
			b.Metrics.InitMoves(u.Name, other)
		}
		all.pools = append(all.pools, pool)
		all.rules[u.Name] = worker.Upstream{Pool: pool, RepeatAmbiguous: u.RetryAmbiguous}
		all.limits[u.Name] = u.MaxConcurrency
		all.marks[u.Name] = upstream.DigestOf(u.Type + " " + u.URL)
	}
	return all, nil
}

func (u *upstreams) closeIdleConnections() {
	for _, p := range u.pools {
		p.CloseIdleConnections()
	}
}

// providers returns a client of the upstream for each of its keys; one without a key for an upstream that has none.
func providers(u config.Upstream, source adapter.SourceFunc) ([]upstream.Key, error) {
	apiKeys := u.APIKeys
	if len(apiKeys) == 0 {
		apiKeys = []config.Secret{""}
	}
	keys := make([]upstream.Key, 0, len(apiKeys))
	for _, apiKey := range apiKeys {
		k, err := newKey(u, apiKey.Value(), source)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func newKey(u config.Upstream, apiKey string, source adapter.SourceFunc) (k upstream.Key, err error) {
	k.Digest = upstream.DigestOf(apiKey)
	switch u.Type {
	case config.TypeExacg:
		k.Provider, err = exacg.New(exacg.Config{Name: u.Name, URL: u.URL, APIKey: apiKey, Timeout: u.Timeout})
	case config.TypeOpenAI:
		k.Provider, err = openaiimages.New(openaiimages.Config{
			Name: u.Name, URL: u.URL, APIKey: apiKey, Timeout: u.Timeout, Models: u.Models, Fields: u.Fields,
			ResponseFormat: u.ResponseFormat, Source: source,
		})
	case config.TypeSDWebUI:
		k.Provider, err = sdwebui.New(sdwebui.Config{
			Name: u.Name, URL: u.URL, APIKey: apiKey, Timeout: u.Timeout, Models: u.Models, Source: source,
		})
	default:
		err = fmt.Errorf("type %s is not known", u.Type)
	}
	return k, err
}

// alternatives returns for each upstream the others of the models that have it.
func alternatives(models []imagegen.Model) map[string][]string {
	all := make(map[string][]string)
	for _, m := range models {
		for _, name := range m.Upstreams {
			for _, other := range m.Upstreams {
				if other != name && !slices.Contains(all[name], other) {
					all[name] = append(all[name], other)
				}
			}
		}
	}
	return all
}
