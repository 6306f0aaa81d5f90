package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tcredis "github.com/testcontainers/testcontainers-go/modules/redis"
	"go.uber.org/goleak"
)

// databases is how many a server of ours gets; 512 tests at once should do.
const databases = "512"

const dockerImage = "redis:7-alpine"

// shared is the one server of this test binary.
var shared sharedServer

type sharedServer struct {
	mu     sync.Mutex
	opened bool
	url    string // of any database of the server
	err    error
	stop   func() error
}

// open returns the server's URL, finding or starting it at the first call.
func (s *sharedServer) open() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		s.opened = true
		s.url, s.stop, s.err = find()
	}
	return s.url, s.err
}

func (s *sharedServer) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		return nil
	}
	stop := s.stop
	s.stop, s.err = nil, errors.New("the shared server is stopped")
	return stop()
}

func find() (url string, stop func() error, err error) {
	if url := os.Getenv("TEST_REDIS_URL"); url != "" {
		return url, nil, nil
	}
	if path, err := exec.LookPath("redis-server"); err == nil {
		return startShared(path)
	}
	if haveDocker() {
		return startContainer()
	}
	return "", nil, errNone
}

func startShared(path string) (url string, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "redistest-")
	if err != nil {
		return "", nil, fmt.Errorf("make a directory for redis-server: %w", err)
	}
	p := &process{path: path, dir: dir}
	if err := p.startAnywhere(); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return "redis://" + p.addr + "/0", func() error { return errors.Join(p.kill(), os.RemoveAll(dir)) }, nil
}

// haveDocker asks the docker command, as testcontainers takes long to find out that no daemon runs.
func haveDocker() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", "info", "--format", "{{.ServerVersion}}").Output()
	return err == nil && strings.TrimSpace(string(out)) != ""
}

func startContainer() (url string, stop func() error, err error) {
	image := os.Getenv("TEST_REDIS_IMAGE")
	if image == "" {
		image = dockerImage
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	container, err := tcredis.Run(ctx, image,
		testcontainers.WithCmd("redis-server", "--databases", databases, "--save", ""))
	stop = func() error {
		// A fresh context: the one above is done by now. A nil container is all right here.
		return testcontainers.TerminateContainer(container, testcontainers.StopTimeout(time.Second))
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("start %s in Docker: %w", image, err), stop())
	}
	url, err = container.ConnectionString(ctx)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("find the address of %s in Docker: %w", image, err), stop())
	}
	return url, stop, nil
}

// dockerGoroutines makes goleak overlook what testcontainers keeps for the life of the process: the connection that
// tells its reaper we are alive, and idle connections to the Docker daemon.
func dockerGoroutines() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/testcontainers/testcontainers-go.(*Reaper).connect.func1"),
	}
}
