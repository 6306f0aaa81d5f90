package redisconn_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
)

// view is the part of the options that the URL decides.
type view struct {
	Addrs              []string
	DB                 int
	User, Pass         string
	SentUser, SentPass string
	Master             string
	Cluster, TLS       bool
	PoolSize           int
	ReadTimeout        time.Duration
	Kind               string
}

func TestParseForms(t *testing.T) {
	t.Parallel()
	const read = 3 * time.Second
	tests := map[string]struct {
		url  string
		want view
	}{
		"one server":            {"redis://127.0.0.1:6379/0", view{Addrs: []string{"127.0.0.1:6379"}, Kind: "*redis.Client", ReadTimeout: read}},
		"one server, port left": {"redis://cache/3", view{Addrs: []string{"cache:6379"}, DB: 3, Kind: "*redis.Client", ReadTimeout: read}},
		"credentials and options": {
			"redis://me:p%40ss@cache:1/2?pool_size=7&read_timeout=9s",
			view{Addrs: []string{"cache:1"}, DB: 2, User: "me", Pass: "p@ss", PoolSize: 7, Kind: "*redis.Client", ReadTimeout: 9 * time.Second},
		},
		"TLS":         {"rediss://cache:1", view{Addrs: []string{"cache:1"}, TLS: true, Kind: "*redis.Client", ReadTimeout: read}},
		"IPv6":        {"redis://[::1]:1/0", view{Addrs: []string{"[::1]:1"}, Kind: "*redis.Client", ReadTimeout: read}},
		"Unix socket": {"unix://me:secret@/run/redis.sock?db=4", view{Addrs: []string{"/run/redis.sock"}, DB: 4, User: "me", Pass: "secret", Kind: "*redis.Client", ReadTimeout: read}},
		"Sentinel": {
			"redis-sentinel://me:p%2Fss@h1:1,h2,[::1]:3/5?master=mymaster&pool_size=9",
			view{Addrs: []string{"h1:1", "h2:26379", "[::1]:3"}, DB: 5, User: "me", Pass: "p/ss", Master: "mymaster", PoolSize: 9, Kind: "*redis.Client", ReadTimeout: read},
		},
		"Sentinel with its own password": {
			"redis-sentinel://:pw@h1?master=m&sentinel_username=su&sentinel_password=sp",
			view{Addrs: []string{"h1:26379"}, Pass: "pw", SentUser: "su", SentPass: "sp", Master: "m", Kind: "*redis.Client", ReadTimeout: read},
		},
		"Sentinel with TLS": {"rediss-sentinel://h1?master_name=m", view{Addrs: []string{"h1:26379"}, Master: "m", TLS: true, Kind: "*redis.Client", ReadTimeout: read}},
		"Sentinel as go-redis writes it": {
			"redis://su:sp@h1:1/1?master_name=m&addr=h2:2&username=u&password=p",
			view{Addrs: []string{"h1:1", "h2:2"}, DB: 1, User: "u", Pass: "p", SentUser: "su", SentPass: "sp", Master: "m", Kind: "*redis.Client", ReadTimeout: read},
		},
		"Cluster": {
			"redis-cluster://me:pw@h1:7000,h2:7001,h3",
			view{Addrs: []string{"h1:7000", "h2:7001", "h3:6379"}, User: "me", Pass: "pw", Cluster: true, Kind: "*redis.ClusterClient", ReadTimeout: read},
		},
		"Cluster with one address and TLS": {"rediss-cluster://h1/0", view{Addrs: []string{"h1:6379"}, Cluster: true, TLS: true, Kind: "*redis.ClusterClient", ReadTimeout: read}},
		"Cluster as go-redis writes it": {
			"redis://h1:1?addr=h2:2&addr=h3:3",
			view{Addrs: []string{"h1:1", "h2:2", "h3:3"}, Cluster: true, Kind: "*redis.ClusterClient", ReadTimeout: read},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o *redis.UniversalOptions
			client, err := redisconn.New(tt.url, func(opts *redis.UniversalOptions) { o = opts })
			if err != nil {
				t.Fatalf("New: %v", err)
			}
			t.Cleanup(func() { _ = client.Close() })
			got := view{
				Addrs: o.Addrs, DB: o.DB, User: o.Username, Pass: o.Password, SentUser: o.SentinelUsername, SentPass: o.SentinelPassword,
				Master: o.MasterName, Cluster: o.IsClusterMode, TLS: o.TLSConfig != nil, PoolSize: o.PoolSize, ReadTimeout: o.ReadTimeout,
				Kind: reflect.TypeOf(client).String(),
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("options of %s (-want +got):\n%s", tt.url, diff)
			}
			if !o.ContextTimeoutEnabled || !o.DisableIdentity || o.MaintNotificationsConfig.Mode != maintnotifications.ModeDisabled {
				t.Error("a common setting is missing")
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ url, want string }{
		"nothing":                    {"", "not a URL"},
		"no scheme":                  {"localhost:6379", "not a URL"},
		"another scheme":             {"http://h1", "scheme is unknown"},
		"another dashed scheme":      {"redis-replica://h1", "scheme is unknown"},
		"a dashed socket":            {"unix-cluster://h1", "scheme is unknown"},
		"a word for the database":    {"redis://h1/jobs", "database number"},
		"a negative database":        {"redis://h1/-1", "database number"},
		"a database of a Cluster":    {"redis-cluster://h1/3", "only database 0"},
		"no socket path":             {"unix://", "empty unix socket path"},
		"no master":                  {"redis-sentinel://h1,h2", "?master=mymaster"},
		"an empty host":              {"redis-cluster://h1,,h2", "list of hosts"},
		"no host":                    {"redis-cluster://", "list of hosts"},
		"a host with two ports":      {"redis-cluster://h1:1,h2:2:3", "list of hosts"},
		"an unknown option":          {"redis://h1?colour=red", "unexpected option: colour"},
		"an unknown option, secrets": {"redis://u:pw@h1?colour=red", "an option is unknown"},
		"replicas":                   {"redis-cluster://h1?read_only=true", "replicas"},
		"replicas by Sentinel":       {"redis-sentinel://h1?master=m&replica_only=true", "replicas"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts, err := redisconn.Parse(tt.url)
			if err == nil {
				t.Fatalf("Parse(%q) = %+v, want an error", tt.url, opts)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse(%q) says %q, want it to contain %q", tt.url, err, tt.want)
			}
		})
	}
}

// TestParseKeepsSecrets has a password with every character that a URL cannot hold as it is, wherever it may stand.
func TestParseKeepsSecrets(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"redis", "rediss", "unix", "redis-sentinel", "redis-cluster", "redis-nothing", "tcp"} {
		for _, c := range "/?#:@%[]&=,; \x00\x7f\\\"世" {
			for _, form := range []string{
				"://u:SEC#RET@h:1/0", "://:SEC#RET@h:1/x", "://SEC#RET@h/0?master=m", "://h:1/0?password=SEC#RET&bad=1",
				"://h/SEC#RET@h", "://u:SEC#RET@h:port/0", "://h:SEC#RET", "://u:SEC#RET@h?pool_size=SEC#RET",
			} {
				raw := scheme + strings.ReplaceAll(form, "#", string(c))
				_, err := redisconn.Parse(raw)
				if err != nil && (strings.Contains(err.Error(), "SEC") || strings.Contains(err.Error(), "RET")) {
					t.Errorf("Parse(%q) tells the password: %v", raw, err)
				}
			}
		}
	}
}
