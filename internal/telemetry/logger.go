// Package telemetry makes what a process tells about itself: its logger and its metrics.
//
// It owns the names of the metrics, all of which begin with zimage_, and their labels, which take few values: no prompt,
// key, address or id ever becomes a label. Only main imports it; others declare the small interfaces they need.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w from the level on ("debug", "info", "warn" or "error", in any case), in
// the format "json" or "text".
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: %w", level, err)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q is not json or text", format)
}
