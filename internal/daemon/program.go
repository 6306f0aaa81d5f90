package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/telemetry"
)

// The exit codes of both programs.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // bad flags or settings: starting again changes nothing
)

// Program is what both binaries do around their work: flags, usage, exit codes.
type Program struct {
	Name           string // api or worker
	Version        string
	Stdout, Stderr io.Writer
	// AdminAddr reads the address of the program's own admin listener from its settings.
	AdminAddr func() (string, error)
	// CheckConfig loads the settings as a start would, and says in lines what they amount to.
	CheckConfig func() ([]string, error)

	flags *flag.FlagSet
}

// misconfigured is an error of the settings.
type misconfigured struct{ error }

// Misconfigured marks an error, of one line a mistake, as one of the settings.
func Misconfigured(err error) error { return misconfigured{err} }

// Flag adds a flag. Call it before Run.
func (p *Program) Flag(name, usage string) *bool { return p.flagSet().Bool(name, false, usage) }

// FuncFlag adds a flag that takes a value. An error of set is one of usage. Call it before Run.
func (p *Program) FuncFlag(name, usage string, set func(string) error) {
	p.flagSet().Func(name, usage, set)
}

func (p *Program) flagSet() *flag.FlagSet {
	if p.flags == nil {
		p.flags = flag.NewFlagSet(p.Name, flag.ContinueOnError)
		p.flags.SetOutput(io.Discard)
	}
	return p.flags
}

// Build returns what the daemons are given, with a logger after the settings. Call it once.
func (p *Program) Build(c config.Common) Build {
	log, err := telemetry.NewLogger(p.Stderr, c.LogLevel, c.LogFormat)
	if err != nil {
		log = slog.New(slog.NewJSONHandler(p.Stderr, nil)) // the settings were checked: cannot happen
	}
	redis.SetLogger(redisLogger{log})
	return Build{Version: p.Version, Log: log, Metrics: telemetry.NewMetrics(p.Version)}
}

// Run parses the flags, does what they ask, or the work, and returns the exit code.
func (p *Program) Run(ctx context.Context, args []string, work func(context.Context) error) int {
	flags := p.flagSet()
	version := flags.Bool("version", false, "print the version and exit")
	checkConfig := flags.Bool("check-config", false, "load the settings and CONFIG_FILE as a start would, name every mistake, and exit: 0, or 2 with mistakes")
	check := flags.Bool("healthcheck", false, "ask the process that runs with the same settings whether it is ready: exit 0 or 1")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return p.usage()
	case err != nil || flags.NArg() > 0:
		if err == nil {
			err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
		}
		p.complain(err)
		return exitUsage
	case *version:
		_, _ = fmt.Fprintln(p.Stdout, p.Name, p.Version)
		return exitOK
	case *checkConfig:
		err = p.checkConfig()
	case *check:
		err = p.askReadiness(ctx)
	default:
		err = work(ctx)
	}
	if err == nil {
		return exitOK
	}
	p.complain(err)
	if _, ok := errors.AsType[misconfigured](err); ok {
		return exitUsage
	}
	return exitFailed
}

func (p *Program) checkConfig() error {
	lines, err := p.CheckConfig()
	if err != nil {
		return Misconfigured(err)
	}
	_, err = fmt.Fprintln(p.Stdout, strings.Join(lines, "\n"))
	if err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

// complain writes one line a mistake.
func (p *Program) complain(err error) {
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(p.Stderr, "%s: %s\n", p.Name, strings.TrimRight(line, "\n"))
	}
}

func (p *Program) usage() int {
	_, _ = fmt.Fprintf(p.Stdout, "Usage: %s [flags]\n\nFlags:\n", p.Name)
	p.flags.SetOutput(p.Stdout)
	p.flags.PrintDefaults()
	_, _ = fmt.Fprintln(p.Stdout)
	if err := config.Usage(p.Stdout, p.Name); err != nil {
		p.complain(err)
		return exitFailed
	}
	return exitOK
}

// askReadiness asks the admin listener of this program's running process, for container health checks.
func (p *Program) askReadiness(ctx context.Context) error {
	addr, err := p.AdminAddr()
	if err != nil {
		return Misconfigured(err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return Misconfigured(fmt.Errorf("ADMIN_ADDR: %w", err))
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the status matters
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}

// redisLogger hands go-redis' own messages, which tell of broken connections, to slog: whoever met one logs it too.
type redisLogger struct{ log *slog.Logger }

// Printf logs for go-redis.
func (l redisLogger) Printf(ctx context.Context, format string, args ...any) {
	l.log.Log(ctx, slog.LevelDebug, "go-redis", slog.String("text", fmt.Sprintf(format, args...)))
}
