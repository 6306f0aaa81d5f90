package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// setup is one that the scenario scale compares with the first.
type setup struct {
	name          string
	apis, workers int
	keys          int // named client keys; 0: the one
}

const manyKeys = 10_000

// scale measures what more processes and more keys cost.
func (b *bench) scale(ctx context.Context) ([]table, error) {
	setups := []setup{
		{"1 API, 1 worker, 1 key", 1, 1, 0},
		{"2 workers", 1, 2, 0},
		{"4 workers", 1, 4, 0},
		{"2 APIs", 2, 1, 0},
		{"4 APIs", 4, 1, 0},
		{thousands(manyKeys) + " client keys", 1, 1, manyKeys},
	}
	runs := make(map[string][]measured)
	for n := range b.runs {
		for _, s := range setups {
			m, err := b.scaleRun(ctx, s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			b.tell(n, s.name, m)
			runs[s.name] = append(runs[s.name], m)
		}
	}
	return []table{scaleTable(setups, runs)}, nil
}

func scaleTable(setups []setup, runs map[string][]measured) table {
	t := table{
		title: fmt.Sprintf("Closed loop, %d connections spread over the API processes, upstream 0 ms, WORKER_CONCURRENCY=%d over all workers:", connections, connections),
		head:  []string{"", "rate ÷ the first", "CPU ÷ the first", "calls a second", "CPU of a call", "api", "worker", "Redis", "errors"},
	}
	rate := func(name string) float64 { return medianOf(runs[name], measured.rate) }
	cpu := func(name string, processes ...string) float64 {
		return medianOf(runs[name], func(m measured) (total float64) {
			for _, p := range processes {
				total += m.cpu(p)
			}
			return total
		})
	}
	first := setups[0].name
	for _, s := range setups {
		failed := 0
		for _, m := range runs[s.name] {
			failed += m.errors
		}
		t.rows = append(t.rows, []string{
			s.name, times(rate(s.name) / rate(first)),
			times(cpu(s.name, partAPI, partWorker, partRedis) / cpu(first, partAPI, partWorker, partRedis)),
			perSecond(rate(s.name)), micros(cpu(s.name, partAPI, partWorker, partRedis)),
			micros(cpu(s.name, partAPI)), micros(cpu(s.name, partWorker)), micros(cpu(s.name, partRedis)), fmt.Sprint(failed),
		})
	}
	return t
}

func (b *bench) scaleRun(ctx context.Context, s setup) (measured, error) {
	l, err := b.newLab(ctx, settings{concurrency: connections, apis: s.apis, workers: s.workers})
	if err != nil {
		return measured{}, err
	}
	defer l.close()
	keys := []string{clientKey}
	if s.keys > 0 {
		keys = make([]string, s.keys)
		for i := range keys {
			keys[i] = fmt.Sprintf("%s-%d", clientKey, i)
		}
		file, err := writeKeys(l.dir, keys)
		if err != nil {
			return measured{}, err
		}
		l.settings.apiEnv = append(l.settings.apiEnv, "CONFIG_FILE="+file)
	}
	g, err := l.ours(ctx)
	if err != nil {
		return measured{}, err
	}
	var targets []target
	for _, key := range keys {
		for _, addr := range g.apis {
			targets = append(targets, newTarget(addr, chatPath, key, chatBody, http.StatusOK, chatMark))
		}
	}
	span := time.Duration(b.amount(3, 1)) * time.Second
	if _, err := spreadLoop(ctx, targets, connections, 0, span/3); err != nil {
		return measured{}, err
	}
	m, err := g.measure(ctx, func(ctx context.Context, _ target) (outcome, error) {
		return spreadLoop(ctx, targets, connections, 0, span)
	})
	if err != nil {
		return m, err
	}
	return m, l.check()
}

// writeKeys writes a configuration file with a name for each key.
func writeKeys(dir string, keys []string) (path string, err error) {
	var b strings.Builder
	b.WriteString("keys:\n")
	for i, key := range keys {
		fmt.Fprintf(&b, "  - {name: client-%d, sha256: %x}\n", i, sha256.Sum256([]byte(key)))
	}
	path = filepath.Join(dir, "keys.yaml")
	const mode = 0o600
	if err := os.WriteFile(path, []byte(b.String()), mode); err != nil {
		return "", fmt.Errorf("write the keys: %w", err)
	}
	return path, nil
}
