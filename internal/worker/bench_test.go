package worker_test

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream"
	"github.com/zimage-gateway/zimage-gateway/internal/worker"
)

// metrics counts what it is told.
type metrics struct {
	mu     sync.Mutex
	counts map[string]int
}

func (m *metrics) count(what ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts == nil {
		m.counts = make(map[string]int)
	}
	m.counts[strings.Join(what, " ")]++
}

func (m *metrics) QueueWait(lane string, _ time.Duration)        { m.count("wait", lane) }
func (m *metrics) AttemptStarted(string)                         {}
func (m *metrics) AttemptDone(name, out string, _ time.Duration) { m.count(name, out) }
func (m *metrics) PictureRetried(_, outcome string)              { m.count("retried", outcome) }
func (m *metrics) PictureMoved(from, to string)                  { m.count("moved", from, to) }
func (m *metrics) PictureCopied(outcome string, _ time.Duration) { m.count("copy", outcome) }
func (m *metrics) UpstreamPaused(name string, paused bool) {
	m.count("paused", name, strconv.FormatBool(paused))
}

func (m *metrics) KeyRests(name string, key int, rests bool) {
	m.count("rests", name, strconv.Itoa(key), strconv.FormatBool(rests))
}
func (m *metrics) Points(string, int, *float64, *float64)     {}
func (m *metrics) JobFinished(status string, _ time.Duration) { m.count("job", status) }
func (m *metrics) Panicked(string)                            { m.count("panic") }

// bench is a worker with one waiting picture.
type bench struct {
	t         *testing.T
	client    redis.UniversalClient
	store     *job.Store
	ends      *job.Watcher
	task      job.Task
	processor *worker.Processor
	metrics   *metrics
	queued    queued
}

// setup is what a test changes of a bench.
type setup struct {
	cfg             worker.Config
	repeatAmbiguous bool
	strict          string               // the one upstream whose ambiguous calls are not repeated, whatever repeatAmbiguous says
	upstreams       map[string][]*script // by name: what answers for each key
	order           []string             // the model's upstreams
	threshold       int
	baseURL, format string
}

// queued are the tasks that follow a call, and the upstreams that other workers serve.
type queued struct {
	tasks  []job.Task
	served []string
}

func (q *queued) Served(context.Context) (queue.Served, error) {
	return queue.Served{Upstreams: q.served}, nil
}

func (q *queued) Enqueue(_ context.Context, tasks ...job.Task) error {
	q.tasks = append(q.tasks, tasks...)
	return nil
}

// noKeeper hands every picture out where it is.
type noKeeper struct{}

func (noKeeper) Keeps(imagegen.Drawing) bool                   { return false }
func (noKeeper) Discard(context.Context, string, string) error { panic("nothing was kept") }
func (noKeeper) Copy(context.Context, string, string, imagegen.Drawing, string, int) (imagestore.Copied, error) {
	panic("nothing is to be kept")
}

func newBench(t *testing.T, exacg *script, tune ...func(*setup)) *bench {
	t.Helper()
	return newBenchOn(t, redistest.Mini(t), exacg, tune...)
}

func newBenchOn(t *testing.T, url string, exacg *script, tune ...func(*setup)) *bench {
	t.Helper()
	client, err := redisconn.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b := &bench{t: t, client: client, store: job.NewStore(client, time.Hour), metrics: &metrics{}}
	s := setup{
		cfg:             worker.Config{MaxAttempts: 3, RetryBaseDelay: time.Second, Keeper: noKeeper{}},
		repeatAmbiguous: true, upstreams: map[string][]*script{"exacg": {exacg}}, order: []string{"exacg"}, threshold: 100,
	}
	for _, f := range tune {
		f(&s)
	}
	b.task = job.Task{Job: job.NewID(), Queue: "exacg-express"}
	_, err = b.store.Create(t.Context(), b.task.Job, job.New{Class: job.ClassInteractive, Wish: job.Wish{BaseURL: s.baseURL}, Spec: imagegen.Spec{
		Model: "Z-Image", Upstreams: s.order, ModelIndex: 5, Prompt: "a cat", Width: 64, Height: 64, Steps: 8, CFG: 7, Seeds: []uint32{1},
		OutputFormat: s.format,
	}}, []string{b.task.Queue}, "")
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Upstreams = make(map[string]worker.Upstream)
	for name, scripts := range s.upstreams {
		s.cfg.Upstreams[name] = worker.Upstream{Pool: b.pool(name, scripts, s.threshold), RepeatAmbiguous: s.repeatAmbiguous && name != s.strict}
	}
	watcher := job.NewWatcher(client, b.store, slog.New(slog.DiscardHandler))
	watching, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = watcher.Run(watching)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	b.ends = watcher
	b.processor = worker.NewProcessor(b.store, watcher, &b.queued, s.cfg, b.metrics, slog.New(slog.DiscardHandler))
	return b
}

func (b *bench) pool(name string, scripts []*script, threshold int) *upstream.Pool {
	var keys []upstream.Key
	for i, s := range scripts {
		keys = append(keys, upstream.Key{Digest: upstream.DigestOf(strconv.Itoa(i)), Provider: s})
	}
	return upstream.NewPool(upstream.Config{
		Name: name, Keys: keys, Rules: upstream.Rules{Threshold: threshold, Cooldown: time.Minute}, Redis: b.client,
		Resume: func(context.Context, string) error { return nil }, Metrics: b.metrics, Log: slog.New(slog.DiscardHandler),
	})
}

// process runs the present task.
func (b *bench) process(ctx context.Context, tune ...func(*queue.Errand)) error {
	e := queue.Errand{Task: b.task, CallEnded: func() {}}
	for _, f := range tune {
		f(&e)
	}
	return b.processor.Process(ctx, e)
}

func (b *bench) job() job.Job {
	b.t.Helper()
	j, err := b.store.Get(context.Background(), b.task.Job)
	if err != nil {
		b.t.Fatal(err)
	}
	return j
}
