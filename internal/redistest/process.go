package redistest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const startTimeout = 15 * time.Second

var errPortTaken = errors.New("the port is taken")

// process is a redis-server of ours. It makes no goroutine, so that tests may look for leaks while it runs.
type process struct {
	path string // of the executable
	dir  string // data and log
	args []string
	addr string
	cmd  *exec.Cmd // nil while it does not run
}

// startAnywhere starts the server on a free loopback port.
func (p *process) startAnywhere() error {
	for range 5 {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		// Someone else may take the port before the server does.
		p.addr = addr
		if err := p.start(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return errPortTaken
}

// firstPort and ports are a range below those that systems give to whoever asks for any: a port of it is still free when
// a server that was killed starts again, while other tests open listeners by the dozen.
const firstPort, ports = 10_000, 20_000

func freeAddr() (string, error) {
	var err error
	for range 20 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(ports))) //nolint:gosec // no secret
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil { //nolint:noctx // returns at once
			_ = l.Close()
			return addr, nil
		}
	}
	return "", fmt.Errorf("find a free port: %w", err)
}

// start starts the server on p.addr and returns once it answers.
func (p *process) start() error {
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return fmt.Errorf("split address: %w", err)
	}
	log, err := os.Create(p.logName())
	if err != nil {
		return fmt.Errorf("create the log of redis-server: %w", err)
	}
	defer log.Close() //nolint:errcheck // the server writes to its own copy of the descriptor
	args := append([]string{
		"--bind", host, "--port", port, "--dir", p.dir, "--databases", databases,
		"--save", "", "--daemonize", "no", "--logfile", "",
	}, p.args...)
	cmd := exec.Command(p.path, args...) //nolint:noctx,gosec // lives until it is killed; a path we looked up
	cmd.Stdout, cmd.Stderr = log, log    // files, so that no goroutine has to copy
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	p.cmd = cmd
	if err := p.awaitReady(); err != nil {
		return errors.Join(err, p.kill())
	}
	return nil
}

// awaitReady reads the server's own log, as whoever answers on the port may be someone else.
func (p *process) awaitReady() error {
	deadline := time.After(startTimeout)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		log, err := os.ReadFile(p.logName())
		switch {
		case err != nil:
			return fmt.Errorf("read the log of redis-server: %w", err)
		case bytes.Contains(log, []byte("Ready to accept connections")):
			return nil
		case bytes.Contains(log, []byte("Address already in use")):
			return errPortTaken
		case bytes.Contains(log, []byte("FATAL CONFIG FILE ERROR")):
			return fmt.Errorf("redis-server refuses its options:\n%s", log)
		}
		select {
		case <-look.C:
		case <-deadline:
			return fmt.Errorf("redis-server was not ready within %v:\n%s", startTimeout, log)
		}
	}
}

func (p *process) logName() string { return filepath.Join(p.dir, "redis.log") }

// kill ends the server at once, frozen or not, and waits until it is gone.
func (p *process) kill() error {
	if p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	p.cmd = nil
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill redis-server: %w", err)
	}
	_ = cmd.Wait() // its error says that the process was killed
	return nil
}
