package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// startTimeout is how long a process may take until it says that it is ready.
const startTimeout = 20 * time.Second

// process is one of the processes under test: a binary, redis-server, or this program in another role.
type process struct {
	name string
	log  string // the file that its output goes to, as it would in service: logging is part of the cost
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// family holds the processes that a scenario has started, and ends them with it.
type family struct {
	dir       string // for logs and data, removed at the end
	processes []*process
	clients   []io.Closer // of Redis servers among them
}

func newFamily() (*family, error) {
	dir, err := os.MkdirTemp("", "zimage-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	return &family{dir: dir}, nil
}

// start runs a program with nothing in its environment but env.
func (f *family) start(name, path string, env []string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(f.dir, fmt.Sprintf("%d-%s.log", len(f.processes), name)), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("create the log of %s: %w", name, err)
	}
	defer log.Close()                   //nolint:errcheck // the process writes to its own copy of the descriptor
	p.cmd = exec.Command(path, args...) //nolint:noctx,gosec // lives until it is killed; our own binaries, and redis-server
	p.cmd.Env = append([]string{"PATH=" + searchPath, "HOME=" + f.dir}, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	f.processes = append(f.processes, p)
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends one of the processes at once, and waits until it is gone.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // its only error is that it has ended
	<-p.done
}

// close ends all processes and removes what they left.
func (f *family) close() {
	for _, c := range f.clients {
		_ = c.Close()
	}
	for _, p := range f.processes {
		p.stop()
	}
	_ = os.RemoveAll(f.dir)
}

// check returns an error if one of the processes has ended before its time.
func (f *family) check() error {
	for _, p := range f.processes {
		select {
		case <-p.done:
			return p.failure("ended")
		default:
		}
	}
	return nil
}

func (p *process) failure(what string) error {
	output, _ := os.ReadFile(p.log)
	const most = 2000
	if len(output) > most {
		output = output[len(output)-most:]
	}
	return fmt.Errorf("%s %s; it said:\n%s", p.name, what, output)
}

// said waits for a line of output that match accepts.
func (p *process) said(ctx context.Context, match func(line string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for ended := false; ; {
		output, err := os.ReadFile(p.log)
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", p.name, err)
		}
		for line := range strings.Lines(string(output)) {
			if match(line) {
				return nil
			}
		}
		if ended {
			return p.failure("ended before it was ready")
		}
		select {
		case <-look.C:
		case <-p.done:
			ended = true // what it said last may have come after the look
		case <-ctx.Done():
			return p.failure("was not ready in time")
		}
	}
}

// logged waits for a JSON log line with the message and returns its attributes.
func (p *process) logged(ctx context.Context, message string) (attrs map[string]any, err error) {
	err = p.said(ctx, func(line string) bool {
		attrs = nil
		return json.Unmarshal([]byte(line), &attrs) == nil && attrs["msg"] == message
	})
	return attrs, err
}

// usage is what the operating system says of a process.
type usage struct {
	cpu  time.Duration // user and system
	peak int64         // most resident memory, in bytes, since it started or since forgetPeak
}

func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("read the CPU time of a process: %w", err)
	}
	status, err := os.ReadFile(procFile(pid, "status"))
	if err != nil {
		return usage{}, fmt.Errorf("read the memory of a process: %w", err)
	}
	var u usage
	if u.cpu, err = parseStat(string(stat)); err != nil {
		return usage{}, err
	}
	u.peak, err = parsePeak(string(status))
	return u, err
}

// usages returns the usage of each process, and of this one, the load generator, at the end.
func usages(processes []*process) ([]usage, error) {
	all := make([]usage, 0, len(processes)+1)
	for _, p := range processes {
		u, err := usageOf(p.cmd.Process.Pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		all = append(all, u)
	}
	u, err := usageOf(os.Getpid())
	return append(all, u), err
}

// forgetPeak lets the peak of a process begin anew, at what it holds now.
func forgetPeak(p *process) error {
	if err := os.WriteFile(procFile(p.cmd.Process.Pid, "clear_refs"), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak memory of %s: %w", p.name, err)
	}
	return nil
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// tick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// parseStat reads the CPU time from /proc/PID/stat.
func parseStat(stat string) (time.Duration, error) {
	// The second field is the program's name in parentheses, which may hold blanks and parentheses of its own.
	const utime, stime = 11, 12 // counted from 0 after the name
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= stime {
		return 0, fmt.Errorf("read the CPU time in %q", stat)
	}
	user, err := strconv.ParseInt(fields[utime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the user time in %q: %w", stat, err)
	}
	system, err := strconv.ParseInt(fields[stime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the system time in %q: %w", stat, err)
	}
	return time.Duration(user+system) * tick, nil
}

// parsePeak reads the peak of the resident memory from /proc/PID/status.
func parsePeak(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the peak memory in %q: %w", line, err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("read the peak memory: /proc/PID/status has no VmHWM")
}
