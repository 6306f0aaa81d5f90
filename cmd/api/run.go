package main

import (
	"context"
	"io"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/daemon"
)

// run is main without the process around it. It returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := daemon.Program{Name: "api", Version: version, Stdout: stdout, Stderr: stderr, AdminAddr: func() (string, error) {
		c, err := config.LoadAPI(environ)
		return c.AdminAddr, err
	}}
	standalone := p.Flag("standalone", "run everything in this process: API, worker, embedded Redis and, without SD_API_KEY, a simulated upstream")
	p.CheckConfig = func() ([]string, error) {
		if *standalone {
			c, _, err := config.LoadStandalone(environ)
			return c.Summary(), err
		}
		c, err := config.LoadAPI(environ)
		return c.Summary(), err
	}
	var keyName string
	p.FuncFlag("new-key", "make a client key called `NAME`, print it with its entry for CONFIG_FILE, and exit", func(name string) error {
		keyName = name
		return config.CheckName(name)
	})
	return p.Run(ctx, args, func(ctx context.Context) error {
		if keyName != "" {
			return daemon.NewKey(stdout, keyName)
		}
		if *standalone {
			api, worker, err := config.LoadStandalone(environ)
			if err != nil {
				return daemon.Misconfigured(err)
			}
			return daemon.Standalone(ctx, api, worker, p.Build(api.Common), stdout)
		}
		c, err := config.LoadAPI(environ)
		if err != nil {
			return daemon.Misconfigured(err)
		}
		return daemon.API(ctx, c, p.Build(c.Common))
	})
}
