package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
)

// redisServer is a redis-server process with the settings of a queue that must not lose anything.
type redisServer struct {
	*process
	addr   string
	client redis.UniversalClient
}

var errPortTaken = errors.New("the port is taken")

// startRedis starts a server on a free port.
func (f *family) startRedis(ctx context.Context) (*redisServer, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("the benchmark starts Redis servers of its own: %w", err)
	}
	for range 5 {
		s, err := f.startRedisOn(ctx, path)
		// Someone else may take the port before the server does.
		if !errors.Is(err, errPortTaken) {
			return s, err
		}
	}
	return nil, errPortTaken
}

func (f *family) startRedisOn(ctx context.Context, path string) (*redisServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("split address: %w", err)
	}
	dir, err := os.MkdirTemp(f.dir, "redis-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	p, err := f.start(partRedis, path, nil, "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--daemonize", "no", "--logfile", "")
	if err != nil {
		return nil, err
	}
	taken := false
	err = p.said(ctx, func(line string) bool {
		taken = taken || strings.Contains(line, "Address already in use")
		return strings.Contains(line, "Ready to accept connections")
	})
	if taken {
		return nil, errPortTaken
	}
	if err != nil {
		return nil, err
	}
	s := &redisServer{process: p, addr: addr}
	s.client, err = redisconn.New(s.url())
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	f.clients = append(f.clients, s.client)
	return s, nil
}

func (s *redisServer) url() string { return "redis://" + s.addr + "/0" }

// commands returns how many commands the server has run since it started, those inside scripts too.
func (s *redisServer) commands(ctx context.Context) (total int64, err error) {
	stats, err := s.client.InfoMap(ctx, "commandstats").Result()
	if err != nil {
		return 0, fmt.Errorf("ask Redis for its statistics: %w", err)
	}
	for command, stat := range stats["Commandstats"] {
		calls, _, _ := strings.Cut(strings.TrimPrefix(stat, "calls="), ",")
		n, err := strconv.ParseInt(calls, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the count of %s in %q: %w", command, stat, err)
		}
		total += n
	}
	return total, nil
}

// info returns one field of INFO.
func (s *redisServer) info(ctx context.Context, section, field string) (string, error) {
	info, err := s.client.InfoMap(ctx, strings.ToLower(section)).Result()
	if err != nil {
		return "", fmt.Errorf("ask Redis for INFO %s: %w", section, err)
	}
	value, ok := info[section][field]
	if !ok {
		return "", fmt.Errorf("INFO %s says nothing of %s", section, field)
	}
	return value, nil
}
