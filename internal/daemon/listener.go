package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// lastWords is how long handlers that were told to stop may take to answer.
	lastWords = 2 * time.Second
)

// errShuttingDown is what a caller gets whose wait outlasted the drain.
var errShuttingDown = &imagegen.Error{
	Kind: imagegen.KindShuttingDown, RetryAfter: time.Second,
	Message: "this server is stopping; the job goes on, please try again",
}

// listen opens an address; its error names the setting at fault.
func listen(ctx context.Context, name, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// serve answers requests until ctx ends. Then it takes no new ones and lets those under way go on for drain; what still
// waits after that is told so: its context ends with errShuttingDown as the cause.
func serve(ctx context.Context, l net.Listener, h http.Handler, drain time.Duration, log *slog.Logger) error {
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients' broken connections
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	defer s.Close() //nolint:errcheck // cuts off what did not end in time
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := s.Shutdown(draining); err != nil {
		log.WarnContext(ctx, "requests outlasted the drain", slog.Any("error", err))
		cut(errShuttingDown)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		_ = s.Shutdown(ending)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}
