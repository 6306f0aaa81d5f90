// Command bench measures the gateway and writes the tables of docs/performance.md; "make bench" runs it.
//
// Every figure is the median of several runs, in which the ways to do a thing take turns: what the machine does beside
// the benchmark then falls on all of them. They are the upstream called directly, which is the floor; plain asynq doing
// the same job, which is what one has without this gateway's dispatch; and the gateway. All of them are processes of
// their own on one machine, and so are a Redis that keeps what it is told (append-only) and a simulated upstream: this
// program in other roles. CPU time and peak memory are the operating system's, Redis commands are Redis' own count.
//
// Loads are closed loops, in which each caller calls again when it has its reply, and open ones, in which calls are due at
// a fixed rate whatever became of those before; see [openLoop] for what that changes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// self is this program, to be started in other roles, and searchPath is theirs.
var (
	self       string
	searchPath string
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	searchPath = os.Getenv("PATH")
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what the scenarios are told.
type bench struct {
	runs     int
	quick    bool
	binaries string // directory of api and worker
	files    int    // how many may be open in a process
	bullmq   bool   // install it
	progress io.Writer
}

// scenario is one thing that is measured.
type scenario struct {
	name  string
	title string
	run   func(*bench, context.Context) ([]table, error)
}

// scenarios in the order of the document.
var scenarios = []scenario{
	{"latency", "One call at a time", (*bench).latency},
	{"throughput", "64 connections", (*bench).throughput},
	{"burst", "2,000 callers at once", (*bench).burst},
	{"waiting", "10,000 callers waiting", (*bench).waiting},
	{"commands", "Redis commands", (*bench).commands},
	{"queue", "The queue alone", (*bench).queue},
	{"idle", "Idle", (*bench).idle},
	{"depth", "The depth of the queue", (*bench).depth},
	{"scale", "More processes, more keys", (*bench).scale},
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	if len(args) > 1 && args[0] == roleFlag {
		return runRole(ctx, args[1], args[2:], out, progress)
	}
	b := &bench{progress: progress}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(progress)
	only := flags.String("only", "", "scenarios, comma-separated; empty: all of "+scenarioNames())
	flags.IntVar(&b.runs, "runs", 3, "runs of which the median is taken")
	flags.BoolVar(&b.quick, "quick", false, "fewer and shorter runs: to see whether it works, not to quote from")
	flags.StringVar(&b.binaries, "bin", "", "directory of api and worker; empty: they are built")
	flags.BoolVar(&b.bullmq, "bullmq", false, "install BullMQ from the npm registry to compare with; without, it is compared with where it is installed")
	document := flags.String("out", "", "document whose tables are replaced by those measured")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	report, err := b.measure(ctx, chosen)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, report.markdown()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if *document == "" {
		return nil
	}
	return report.update(*document)
}

func scenarioNames() string {
	names := make([]string, len(scenarios))
	for i, s := range scenarios {
		names[i] = s.name
	}
	return strings.Join(names, ", ")
}

func choose(only string) (chosen []scenario, err error) {
	if only == "" {
		return scenarios, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q, only %s", name, scenarioNames())
		}
		chosen = append(chosen, scenarios[i])
	}
	return chosen, nil
}

// prepare sees to all that the scenarios need.
func (b *bench) prepare(ctx context.Context) (err error) {
	if err := supported(); err != nil {
		return err
	}
	if b.quick {
		b.runs = 1
	}
	if b.files, err = raiseFileLimit(); err != nil {
		return err
	}
	if self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if b.binaries == "" {
		b.binaries, err = build(ctx, b.progress)
	}
	return err
}

func (b *bench) binary(name string) string { return filepath.Join(b.binaries, name) }

// say tells whoever watches.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, format+"\n", args...)
}

// measure runs the scenarios, and returns what they found.
func (b *bench) measure(ctx context.Context, chosen []scenario) (*report, error) {
	began := time.Now()
	r := &report{}
	for _, s := range chosen {
		b.say("%s …", s.name)
		from := time.Now()
		tables, err := s.run(b, ctx)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		b.say("%s took %v", s.name, time.Since(from).Round(time.Second))
		r.sections = append(r.sections, section{
			name: s.name, title: s.title, tables: tables,
			when: fmt.Sprintf("Runs: %d; %s; %v.", b.runs, began.UTC().Format(time.DateOnly), time.Since(from).Round(time.Second)),
		})
	}
	var err error
	if r.machine, err = machine(ctx); err != nil {
		return nil, err
	}
	if len(chosen) == len(scenarios) {
		r.machine += fmt.Sprintf("All of it took %v.\n", time.Since(began).Round(time.Second))
	}
	return r, nil
}

// machine says on what and with what it was measured.
func machine(ctx context.Context) (string, error) {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", fmt.Errorf("read the kernel's version: %w", err)
	}
	f, err := newFamily()
	if err != nil {
		return "", err
	}
	defer f.close()
	server, err := f.startRedis(ctx)
	if err != nil {
		return "", err
	}
	redisVersion, err := server.info(ctx, "Server", "redis_version")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d cores (%s), Linux %s, %s, Redis %s.\n",
		runtime.NumCPU(), runtime.GOARCH, strings.TrimSpace(string(kernel)), runtime.Version(), redisVersion), nil
}
