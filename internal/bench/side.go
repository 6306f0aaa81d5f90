package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

const (
	clientKey   = "sk-bench-client"
	upstreamKey = "sk-bench-upstream"
)

// side is one of the ways to get a picture that are compared.
type side struct {
	name      string
	target    target
	redis     *redisServer // nil: none
	processes []*process   // all that work for a call, in the order in which it meets them
}

// The names of the sides.
const (
	nameOurs   = "ours"
	nameDirect = "direct"
	nameProxy  = "proxy"
	nameAsynq  = "asynq"
)

// settings shape the sides. The zero value leaves everything at its default.
type settings struct {
	latency     time.Duration // of the upstream
	concurrency int           // calls at once over all workers; 0: the gateway's default
	apis        int           // how many processes; 0: one
	workers     int
	apiEnv      []string
}

func (s settings) workerEnv() []string {
	if s.concurrency == 0 {
		return nil
	}
	return []string{fmt.Sprintf("WORKER_CONCURRENCY=%d", s.concurrency/max(s.workers, 1))}
}

// lab is the processes of one scenario.
type lab struct {
	*family
	bench    *bench
	settings settings
	upstream *process
	upAddr   string // of the upstream, host:port
}

// newLab starts an upstream; sides are added to it.
func (b *bench) newLab(ctx context.Context, s settings) (*lab, error) {
	f, err := newFamily()
	if err != nil {
		return nil, err
	}
	l := &lab{family: f, bench: b, settings: s}
	l.upstream, l.upAddr, err = l.startRole(ctx, roleUpstream, "-latency", s.latency.String())
	if err != nil {
		f.close()
		return nil, err
	}
	return l, nil
}

// startRole starts this program in another role, and returns the address at which it listens.
func (f *family) startRole(ctx context.Context, role string, args ...string) (*process, string, error) {
	p, err := f.start(role, self, nil, append([]string{roleFlag, role}, args...)...)
	if err != nil {
		return nil, "", err
	}
	attrs, err := p.logged(ctx, roleReady)
	if err != nil {
		return nil, "", err
	}
	addr, _ := attrs["address"].(string)
	return p, addr, nil
}

// direct is the floor: the load generator calls the upstream itself.
func (l *lab) direct() *side {
	const body = `{"prompt":"a cat","width":2048,"height":2048,"steps":8,"cfg":7,"model_index":5,"seed":1}`
	return &side{
		name: nameDirect, processes: []*process{l.upstream},
		target: newTarget(l.upAddr, simupstream.GeneratePath, upstreamKey, body, http.StatusOK, `"image_url":"http`),
	}
}

const (
	chatPath = "/v1/chat/completions"
	chatBody = `{"model":"Z-Image","messages":[{"role":"user","content":"a cat"}]}`
	chatMark = "](http"
)

// gateway is the product: api, worker, and a Redis of its own.
type gateway struct {
	*side
	admin string // host:port of the (first) api's admin listener
	apis  []string
	lab   *lab
	queue []*process // the workers
}

func (l *lab) ours(ctx context.Context) (*gateway, error) {
	r, err := l.startRedis(ctx)
	if err != nil {
		return nil, err
	}
	g := &gateway{lab: l, side: &side{name: nameOurs, redis: r}}
	for range max(l.settings.apis, 1) {
		p, err := l.start(partAPI, l.bench.binary("api"), slices.Concat([]string{
			"REDIS_URL=" + r.url(), "GATEWAY_API_KEY=" + clientKey, "LISTEN_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0",
		}, l.settings.apiEnv))
		if err != nil {
			return nil, err
		}
		attrs, err := p.logged(ctx, "api is listening")
		if err != nil {
			return nil, err
		}
		addr, _ := attrs["address"].(string)
		g.apis = append(g.apis, addr)
		g.processes = append(g.processes, p)
		if g.admin == "" {
			g.admin, _ = attrs["admin_address"].(string)
		}
	}
	g.processes = append(g.processes, r.process)
	for range max(l.settings.workers, 1) {
		if err := g.startWorker(ctx); err != nil {
			return nil, err
		}
	}
	g.processes = append(g.processes, l.upstream)
	g.target = newTarget(g.apis[0], chatPath, clientKey, chatBody, http.StatusOK, chatMark)
	return g, nil
}

func (g *gateway) startWorker(ctx context.Context) error {
	p, err := g.lab.start(partWorker, g.lab.bench.binary("worker"), slices.Concat([]string{
		"REDIS_URL=" + g.redis.url(), "SD_API_KEY=" + upstreamKey,
		"SD_API_URL=" + g.lab.upstreamURL(), "ADMIN_ADDR=127.0.0.1:0",
	}, g.lab.settings.workerEnv()))
	if err != nil {
		return err
	}
	if _, err := p.logged(ctx, "worker is running"); err != nil {
		return err
	}
	g.processes = append(g.processes, p)
	g.queue = append(g.queue, p)
	return nil
}

// proxy is what passes calls straight through.
func (l *lab) proxy(ctx context.Context) (*side, error) {
	const connections = 10_000 // more than any load has
	p, addr, err := l.startRole(ctx, roleProxy, "-concurrency", strconv.Itoa(connections), "-upstream", l.upstreamURL())
	if err != nil {
		return nil, err
	}
	return &side{
		name: nameProxy, processes: []*process{p, l.upstream},
		target: newTarget(addr, chatPath, clientKey, chatBody, http.StatusOK, chatMark),
	}, nil
}

// upstreamURL is where pictures are ordered.
func (l *lab) upstreamURL() string { return "http://" + l.upAddr + simupstream.GeneratePath }

// asynq is what one gets without our dispatch: the same job done with plain asynq.
func (l *lab) asynq(ctx context.Context) (*side, error) {
	r, err := l.startRedis(ctx)
	if err != nil {
		return nil, err
	}
	const defaultConcurrency = 10 // the gateway's
	concurrency := l.settings.concurrency
	if concurrency == 0 {
		concurrency = defaultConcurrency
	}
	api, addr, err := l.startRole(ctx, roleAsynqAPI, "-redis", r.addr)
	if err != nil {
		return nil, err
	}
	worker, _, err := l.startRole(ctx, roleAsynqWorker, "-redis", r.addr, "-concurrency", strconv.Itoa(concurrency),
		"-upstream", l.upstreamURL())
	if err != nil {
		return nil, err
	}
	return &side{
		name: nameAsynq, redis: r, processes: []*process{api, r.process, worker, l.upstream},
		target: newTarget(addr, chatPath, clientKey, chatBody, http.StatusOK, chatMark),
	}, nil
}

// Parts of the work, by the names of the gateway's processes.
const (
	partAPI    = "api"
	partWorker = "worker"
	partRedis  = "redis"
)

// partOf returns the part that a process does.
func partOf(process string) string {
	switch process {
	case roleProxy, roleAsynqAPI:
		return partAPI
	case roleAsynqWorker:
		return partWorker
	}
	return process
}

// generator is the name under which this process, which makes the calls, is accounted for.
const generator = "load generator"

// forgetPeaks lets the peaks of memory begin anew.
func (s *side) forgetPeaks() error {
	for _, p := range s.processes {
		if err := forgetPeak(p); err != nil {
			return err
		}
	}
	return nil
}

// measured is one run of a load on a side.
type measured struct {
	outcome

	names    []string // parts
	before   []usage
	after    []usage
	commands int64 // that Redis ran meanwhile
}

// measure runs a load and notes what it costs each process.
func (s *side) measure(ctx context.Context, load func(context.Context, target) (outcome, error)) (m measured, err error) {
	for _, p := range s.processes {
		m.names = append(m.names, partOf(p.name))
	}
	m.names = append(m.names, generator)
	var commands int64
	if s.redis != nil {
		if commands, err = s.redis.commands(ctx); err != nil {
			return m, err
		}
	}
	if m.before, err = usages(s.processes); err != nil {
		return m, err
	}
	if m.outcome, err = load(ctx, s.target); err != nil {
		return m, err
	}
	if m.after, err = usages(s.processes); err != nil {
		return m, err
	}
	if s.redis != nil {
		if m.commands, err = s.redis.commands(ctx); err != nil {
			return m, err
		}
		m.commands -= commands
	}
	return m, nil
}

// cpu returns the CPU time that a process spent on each call, in seconds; with several processes of the name, all of them.
func (m measured) cpu(name string) float64 {
	spent, known := time.Duration(0), false
	for i, n := range m.names {
		if n == name {
			spent, known = spent+m.after[i].cpu-m.before[i].cpu, true
		}
	}
	if !known {
		return math.NaN()
	}
	return spent.Seconds() / float64(len(m.samples))
}

// peak returns the most memory that a process held, in bytes; with several of the name, the largest of them.
func (m measured) peak(name string) float64 {
	most := math.NaN()
	for i, n := range m.names {
		if n == name {
			if size := float64(m.after[i].peak); !(most > size) { // nor where there is none yet
				most = size
			}
		}
	}
	return most
}

func (m measured) perCall() float64 { return float64(m.commands) / float64(len(m.samples)) }
