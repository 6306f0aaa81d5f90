package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait that should be short.
const patience = 30 * time.Second

// process is one of the binaries, running.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	exit chan int // closed after the exit code

	mu    sync.Mutex
	lines []string
	grown chan struct{} // closed and replaced at every line
}

// launch starts a binary with nothing in its environment but env.
func launch(t testing.TB, name string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, exit: make(chan int, 1), grown: make(chan struct{})}
	p.cmd = exec.CommandContext(context.Background(), filepath.Join(binaries, name), args...) //nolint:gosec // our own binary
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		p.read(out)
		close(read)
	}()
	go func() {
		_ = p.cmd.Wait()
		_ = in.Close()
		<-read // who learns of the end finds all of the output
		p.exit <- p.cmd.ProcessState.ExitCode()
		close(p.exit)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", name, p.output())
		}
	})
	return p
}

func (p *process) read(out io.Reader) {
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		close(p.grown)
		p.grown = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// line waits for the first line of output that match accepts.
func (p *process) line(what string, match func(string) bool) string {
	p.t.Helper()
	deadline := time.After(patience)
	for seen := 0; ; {
		p.mu.Lock()
		lines, grown := p.lines, p.grown
		p.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if match(lines[seen]) {
				return lines[seen]
			}
		}
		select {
		case <-grown:
		case <-deadline:
			p.t.Fatalf("%s did not say %s within %v; it said:\n%s", p.name, what, patience, p.output())
		}
	}
}

// logged waits for a log line with the message and returns its attributes.
func (p *process) logged(message string) map[string]any {
	p.t.Helper()
	var attrs map[string]any
	p.line(message, func(line string) bool {
		attrs = nil
		return json.Unmarshal([]byte(line), &attrs) == nil && attrs["msg"] == message
	})
	return attrs
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exit
}

// stop asks the process to stop and returns its exit code.
func (p *process) stop(within time.Duration) int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.ended(within)
}

func (p *process) ended(within time.Duration) int {
	p.t.Helper()
	select {
	case code := <-p.exit:
		return code
	case <-time.After(within):
		p.t.Fatalf("%s is still running after %v", p.name, within)
	}
	panic("unreachable")
}
