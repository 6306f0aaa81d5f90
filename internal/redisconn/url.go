package redisconn

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	minTLS       = tls.VersionTLS12
	portRedis    = "6379"
	portSentinel = "26379"
)

var (
	errNotURL = errors.New("not a URL such as redis://127.0.0.1:6379/0 " +
		"(special characters of a password must be percent-encoded)")
	errScheme = errors.New("the scheme is unknown; known are redis, rediss, unix, redis-sentinel, rediss-sentinel, " +
		"redis-cluster and rediss-cluster")
	errDatabase        = errors.New("the path is not a database number such as /0")
	errClusterDatabase = errors.New("a Redis Cluster has only database 0")
	errHosts           = errors.New("the list of hosts is not like host1:port,host2:port")
)

type form int

const (
	formSingle form = iota
	formSentinel
	formCluster
)

// address is a REDIS_URL brought into the shape that go-redis parses.
type address struct {
	form   form
	url    *url.URL
	secret bool // the URL may hold a password, so no part of it is quoted
}

// splitURL finds out which form rawURL has and rewrites the gateway's own forms into those of go-redis.
func splitURL(rawURL string) (address, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return address{}, errNotURL
	}
	var hosts []string
	base, kind, own := strings.Cut(scheme, "-")
	if own {
		// The standard parser refuses host lists with ports: hand it the first host only.
		rest, hosts = splitHosts(rest)
	}
	u, err := url.Parse(base + "://" + rest)
	if err != nil {
		return address{}, errNotURL // the cause would quote parts of the URL
	}
	a := address{url: u, secret: strings.Contains(rawURL, "@") || strings.Contains(rawURL, "password")}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		return address{}, errNotURL
	}
	switch {
	case base == "unix" && !own:
		return a, nil
	case base != "redis" && base != "rediss":
		return address{}, errScheme
	case !own && query.Has("master_name"), kind == "sentinel":
		a.form = formSentinel
	case !own && query.Has("addr"), kind == "cluster":
		a.form = formCluster
	case own:
		return address{}, errScheme
	}
	if err := checkDatabase(u.Path, a.form); err != nil {
		return address{}, err
	}
	if own {
		return a, a.rewrite(hosts, query)
	}
	return a, nil
}

// checkDatabase looks at the path before go-redis does, which would quote it, and ignores it for a Cluster.
func checkDatabase(path string, f form) error {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	db, err := strconv.Atoi(path)
	if err != nil || db < 0 {
		return errDatabase
	}
	if f == formCluster && db != 0 {
		return errClusterDatabase
	}
	return nil
}

// splitHosts takes the host list out of what follows the scheme and leaves its first host there.
func splitHosts(rest string) (string, []string) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	at := strings.LastIndexByte(authority, '@') + 1
	hosts := strings.Split(authority[at:], ",")
	return authority[:at] + hosts[0] + tail, hosts
}

// rewrite turns one of the gateway's own forms into that of go-redis: the first host stands in the URL, the others are
// addr options.
func (a address) rewrite(hosts []string, query url.Values) error {
	port := portRedis
	if a.form == formSentinel {
		port = portSentinel
		if query.Has("master") {
			query.Set("master_name", query.Get("master"))
			query.Del("master")
		}
		a.swapCredentials(query)
	}
	addrs := make([]string, 0, len(hosts))
	for _, h := range hosts {
		addr, err := withPort(h, port)
		if err != nil {
			return err
		}
		addrs = append(addrs, addr)
	}
	a.url.Host = addrs[0]
	query["addr"] = slices.Concat(addrs[1:], query["addr"])
	a.url.RawQuery = query.Encode()
	return nil
}

// swapCredentials puts the credentials where go-redis looks for them: it takes those before the host for the
// Sentinels and those of the Redis servers from options.
func (a address) swapCredentials(query url.Values) {
	if a.url.User != nil {
		password, _ := a.url.User.Password()
		query.Set("username", a.url.User.Username())
		query.Set("password", password)
	}
	a.url.User = nil
	if query.Has("sentinel_password") {
		a.url.User = url.UserPassword(query.Get("sentinel_username"), query.Get("sentinel_password"))
	}
	query.Del("sentinel_username")
	query.Del("sentinel_password")
}

func withPort(host, port string) (string, error) {
	u := url.URL{Host: host}
	name := u.Hostname()
	if u.Port() != "" {
		port = u.Port()
	}
	// A second colon outside brackets, or an empty entry, is a slip of the pen.
	if name == "" || strings.ContainsAny(name, ":") && !strings.HasPrefix(host, "[") {
		return "", errHosts
	}
	return net.JoinHostPort(name, port), nil
}
