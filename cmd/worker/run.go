package main

import (
	"context"
	"io"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/daemon"
)

// run is main without the process around it. It returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := daemon.Program{Name: "worker", Version: version, Stdout: stdout, Stderr: stderr, AdminAddr: func() (string, error) {
		c, err := config.LoadWorker(environ)
		return c.AdminAddr, err
	}, CheckConfig: func() ([]string, error) {
		c, err := config.LoadWorker(environ)
		return c.Summary(), err
	}}
	return p.Run(ctx, args, func(ctx context.Context) error {
		c, err := config.LoadWorker(environ)
		if err != nil {
			return daemon.Misconfigured(err)
		}
		return daemon.Worker(ctx, c, p.Build(c.Common))
	})
}
