package redistest

import (
	"os/exec"
	"syscall"
	"testing"
)

// Options are those of a server of the test's own.
type Options struct {
	// AppendOnly keeps the data over Kill and Restart. Without it a restarted server is empty.
	AppendOnly bool
	// Args are further arguments of redis-server, such as "--maxmemory-policy", "allkeys-lru".
	Args []string
}

// Server is a redis-server process that one test owns, to stop, freeze and kill. Its methods fail that test when they
// cannot do their work, so they are called from the test's goroutine.
type Server struct {
	t testing.TB
	p *process
}

// Start starts a server that ends with the test. It takes a redis-server on PATH: a server that is shared or in a
// container cannot be frozen and killed.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		unavailable(tb, errNone)
	}
	p := &process{path: path, dir: tb.TempDir(), args: o.Args}
	if o.AppendOnly {
		// With everysec, the default, writes are put off while the disk is busy, and a kill loses them.
		p.args = append([]string{"--appendonly", "yes", "--appendfsync", "always"}, p.args...)
	}
	s := &Server{t: tb, p: p}
	tb.Cleanup(s.Kill)
	s.must("start", p.startAnywhere())
	return s
}

// URL returns the URL of the server's database 0, which stays the same over restarts.
func (s *Server) URL() string { return "redis://" + s.p.addr + "/0" }

// Addr returns the server's host:port, which stays the same over restarts.
func (s *Server) Addr() string { return s.p.addr }

// Freeze stops the server in its tracks: connections stay open and nothing answers, until Thaw.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal("freeze", signalFreeze)
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	s.t.Helper()
	s.signal("thaw", signalThaw)
}

// Kill ends the server without a chance to say goodbye, and returns when it is gone. A dead one stays dead.
func (s *Server) Kill() {
	s.t.Helper()
	s.must("kill", s.p.kill())
}

// Restart kills the server if it runs and starts it again on the same port and data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.must("restart", s.p.start())
}

func (s *Server) signal(what string, sig syscall.Signal) {
	s.t.Helper()
	if s.p.cmd == nil {
		s.t.Fatalf("%s redis-server: it does not run", what)
	}
	s.must(what, s.p.cmd.Process.Signal(sig))
}

func (s *Server) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s redis-server on %s: %v", what, s.p.addr, err)
	}
}
