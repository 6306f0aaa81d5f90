// Package redisconn turns REDIS_URL into a go-redis client with the settings every part of the gateway relies on.
//
// It owns the forms that URL may take and the options that are the same for all clients: deadlines of contexts are
// obeyed, nothing is sent at connect beyond HELLO and SELECT, and a server that does not answer is given up after
// seconds. It also owns how commands of many goroutines share round trips ([Combine]). No error of this package quotes a URL that may hold a password.
package redisconn

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 3 * time.Second
)

// New returns a client for rawURL, in the forms that [Parse] takes. Each tune function may change the options before
// the client is made. The client connects when it is first used; the caller closes it.
//
//nolint:ireturn // whether it is a single server, Sentinel or Cluster is known at run time only
func New(rawURL string, tune ...func(*redis.UniversalOptions)) (redis.UniversalClient, error) {
	opts, err := Parse(rawURL)
	if err != nil {
		return nil, err
	}
	for _, f := range tune {
		f(opts)
	}
	return redis.NewUniversalClient(opts), nil
}

// Parse returns the client options for rawURL:
//
//	redis://[user:password@]host[:6379][/db]             one server; rediss:// with TLS
//	unix://[user:password@]/path/to/socket[?db=1]        one server on a Unix socket
//	redis-sentinel://[user:password@]h1[:26379],h2/0?master=name
//	redis-cluster://[user:password@]h1[:6379],h2
//
// The last two also as rediss-sentinel:// and rediss-cluster://. There the user and password are those of the Redis
// servers; Sentinels that ask for some too get the options sentinel_username and sentinel_password. The forms of
// go-redis itself work as well: redis://sentinel?master_name=name&addr=… and redis://node?addr=…, its options
// (pool_size, read_timeout, …) with all of them.
func Parse(rawURL string) (*redis.UniversalOptions, error) {
	a, err := splitURL(rawURL)
	if err != nil {
		return nil, err
	}
	opts, err := a.options()
	if err != nil {
		return nil, err
	}
	if opts.ReadOnly || opts.RouteByLatency || opts.RouteRandomly {
		return nil, errors.New("reading from replicas is not possible: their view of a job may be old")
	}
	applyDefaults(opts)
	return opts, nil
}

// options parses the address with go-redis' own parsers.
func (a address) options() (*redis.UniversalOptions, error) {
	opts := &redis.UniversalOptions{}
	switch a.form {
	case formSingle:
		o, err := redis.ParseURL(a.url.String())
		if err != nil {
			return nil, a.scrub(err)
		}
		copyFields(opts, o)
		opts.Addrs = []string{o.Addr}
	case formSentinel:
		o, err := redis.ParseFailoverURL(a.url.String())
		if err != nil {
			return nil, a.scrub(err)
		}
		if o.MasterName == "" {
			return nil, errors.New("the Sentinel form needs the name of the master, as in ?master=mymaster")
		}
		copyFields(opts, o)
		opts.Addrs, opts.ReadOnly = o.SentinelAddrs, o.ReplicaOnly || o.UseDisconnectedReplicas
	case formCluster:
		o, err := redis.ParseClusterURL(a.url.String())
		if err != nil {
			return nil, a.scrub(err)
		}
		copyFields(opts, o)
		opts.IsClusterMode = true
	}
	return opts, nil
}

// applyDefaults sets what all clients of the gateway have in common, leaving what the URL asked for.
func applyDefaults(o *redis.UniversalOptions) {
	// Without it a command outlives its context by whole retries.
	o.ContextTimeoutEnabled = true
	// Both cost commands at every connect and bring nothing here.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if o.DialTimeout == 0 {
		o.DialTimeout = dialTimeout
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = ioTimeout
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = ioTimeout
	}
	if o.TLSConfig != nil {
		o.TLSConfig.MinVersion = max(o.TLSConfig.MinVersion, minTLS)
	}
}

// copyFields copies the fields that dst and src have in common by name and type, so that an option go-redis learns to
// read from a URL is not lost on the way to the universal client.
func copyFields(dst *redis.UniversalOptions, src any) {
	from, to := reflect.ValueOf(src).Elem(), reflect.ValueOf(dst).Elem()
	for field := range from.Type().Fields() {
		if !field.IsExported() {
			continue
		}
		if f := to.FieldByName(field.Name); f.IsValid() && f.Type() == field.Type {
			f.Set(from.FieldByIndex(field.Index))
		}
	}
}

// scrub returns err, whose text may quote the URL, with its text only if the URL can hold no password.
func (a address) scrub(err error) error {
	if a.secret {
		return errors.New("an option is unknown or has a bad value (not quoted, as the URL may hold a password; " +
			"special characters of a password must be percent-encoded)")
	}
	return fmt.Errorf("an option is not usable: %w", err)
}
