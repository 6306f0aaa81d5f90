package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// bullMQ is the queue of that name for Node, in a directory of this package.
type bullMQ struct {
	node string // the executable
	dir  string
}

// findBullMQ returns it where it is installed, or can be and that was asked for.
func (b *bench) findBullMQ(ctx context.Context) (*bullMQ, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("it needs Node: %w", err)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "internal", "bench", "bullmq")
	if b.bullmq {
		cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, b.progress, b.progress
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("install it: %w", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "bullmq")); err != nil {
		return nil, errors.New("it is not installed: -bullmq installs it")
	}
	return &bullMQ{node: node, dir: dir}, nil
}

func (q *bullMQ) rival(b *bench) *rival {
	start := func(f *family, role, redis string, args ...string) (*process, error) {
		host, port, err := net.SplitHostPort(redis)
		if err != nil {
			return nil, fmt.Errorf("split address: %w", err)
		}
		return f.start("bullmq-"+role, q.node, nil, append([]string{filepath.Join(q.dir, role+".mjs"), host, port}, args...)...)
	}
	return &rival{
		name: "BullMQ", alone: b.amount(1000, 300), busy: b.amount(100, 20) * connections,
		startFunc: func(ctx context.Context, f *family, redis string) error {
			p, err := start(f, partWorker, redis, strconv.Itoa(connections))
			if err != nil {
				return err
			}
			_, err = p.logged(ctx, roleReady)
			return err
		},
		makeFunc: func(f *family, redis string, inFlight, trips int) (*process, error) {
			return start(f, "requester", redis, strconv.Itoa(inFlight), strconv.Itoa(trips))
		},
	}
}
