package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"
)

// commands counts what a call costs Redis, and lists it.
func (b *bench) commands(ctx context.Context) ([]table, error) {
	l, err := b.newLab(ctx, settings{concurrency: connections})
	if err != nil {
		return nil, err
	}
	defer l.close()
	asynq, err := l.asynq(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := l.ours(ctx)
	if err != nil {
		return nil, err
	}
	figures := make(map[string]commandFigures)
	for _, s := range []*side{ours.side, asynq} {
		if figures[s.name], err = b.countCommands(ctx, s); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	c := newComparison("Commands that Redis runs for a call. Those of clients are what MONITOR shows without the mark of a script, a script being one; all are what `INFO commandstats` counts, those inside scripts too:", nameAsynq)
	c.add("one call at a time, by clients", commandsUnit, func(name string) float64 { return figures[name].aloneClient }, goal{})
	c.add("one call at a time, all", commandsUnit, func(name string) float64 { return figures[name].aloneAll }, goal{})
	c.add(fmt.Sprintf("%d connections, by clients", connections), commandsUnit, func(name string) float64 { return figures[name].busyClient }, goal{})
	c.add(fmt.Sprintf("%d connections, all", connections), commandsUnit, func(name string) float64 { return figures[name].busyAll }, goal{})
	c.add(fmt.Sprintf("%d connections without MONITOR, all", connections), commandsUnit, func(name string) float64 { return figures[name].freeAll }, goal{})
	return []table{c.table, {
		title:   "What one call makes Redis do, in order, from the request until all is quiet again: the commonest course of several calls. Those of clients are numbered, those inside a script stand below it:",
		listing: figures[nameOurs].list,
	}, {title: "The same with plain asynq:", listing: figures[nameAsynq].list}}, l.check()
}

// commandsUnit writes a number of commands.
func commandsUnit(v float64) string { return fmt.Sprintf("%.1f", v) }

type commandFigures struct {
	aloneClient, aloneAll float64 // commands a call, one call at a time
	busyClient, busyAll   float64 // with many at once
	freeAll               float64 // and without MONITOR
	list                  []string
}

func (b *bench) countCommands(ctx context.Context, s *side) (f commandFigures, err error) {
	const warmUp = 20
	if _, err := closedLoop(ctx, s.target, connections, warmUp, 0); err != nil {
		return f, err
	}
	free, err := s.measure(ctx, func(ctx context.Context, t target) (outcome, error) {
		return closedLoop(ctx, t, connections, warmUp, 0)
	})
	if err != nil {
		return f, err
	}
	f.freeAll = free.perCall()
	m, err := s.redis.monitor(ctx)
	if err != nil {
		return f, err
	}
	defer m.close()
	if _, err := m.take(ctx); err != nil {
		return f, err
	}
	busy, err := s.measure(ctx, func(ctx context.Context, t target) (outcome, error) {
		return closedLoop(ctx, t, connections, warmUp, 0)
	})
	if err != nil {
		return f, err
	}
	events, err := m.take(ctx)
	if err != nil {
		return f, err
	}
	f.busyAll = busy.perCall()
	f.busyClient = float64(countClient(events)) / float64(len(busy.samples))
	return f, b.sampleCalls(ctx, s, m, &f)
}

// sampleCalls makes single calls with a pause after each, and keeps the commonest course of events: what is done every few
// seconds falls into few of them.
func (b *bench) sampleCalls(ctx context.Context, s *side, m *monitor, f *commandFigures) error {
	calls := map[string]int{nameOurs: 21, nameAsynq: 7}[s.name]
	courses, count := make(map[string][]event), make(map[string]int)
	best := ""
	for range calls {
		settle(ctx)
		if _, err := m.take(ctx); err != nil {
			return err
		}
		o, err := closedLoop(ctx, s.target, 1, 1, 0)
		if err == nil {
			err = o.first
		}
		if err != nil {
			return err
		}
		settle(ctx)
		events, err := m.take(ctx)
		if err != nil {
			return err
		}
		course := strings.Join(describe(ctx, s.redis.client, events), "\n")
		courses[course] = events
		count[course]++
		if count[course] > count[best] {
			best = course
		}
	}
	b.say("  %s: the commonest course of %d calls was that of %d", s.name, calls, count[best])
	f.list = strings.Split(best, "\n")
	f.aloneAll, f.aloneClient = float64(len(courses[best])), float64(countClient(courses[best]))
	return nil
}

func countClient(events []event) (n int) {
	for _, e := range events {
		if !e.inScript {
			n++
		}
	}
	return n
}

// describe names the commands and the patterns of their keys. It numbers those of clients, and indents those of scripts.
func describe(ctx context.Context, client redis.UniversalClient, events []event) []string {
	lines := make([]string, len(events))
	number := 0
	for i, e := range events {
		text := strings.Join(append([]string{strings.ToUpper(e.args[0])}, keysOf(ctx, client, e.args)...), " ")
		if e.inScript {
			lines[i] = "        " + text
			continue
		}
		number++
		lines[i] = fmt.Sprintf("%3d %s", number, text)
	}
	return lines
}

// keysOf asks Redis which of a command's arguments are keys, and of commands without any returns what says the same.
func keysOf(ctx context.Context, client redis.UniversalClient, args []string) (patterns []string) {
	switch strings.ToUpper(args[0]) {
	case "PUBLISH":
		return []string{keyPattern(args[1])}
	case "ECHO", "PING", "TIME", "MULTI", "EXEC":
		return nil
	}
	all := make([]any, len(args))
	for i, a := range args {
		all[i] = a
	}
	keys, err := client.CommandGetKeys(ctx, all...).Result()
	if err != nil {
		return nil // it has none
	}
	for _, k := range keys {
		patterns = append(patterns, keyPattern(k))
	}
	return patterns
}

var (
	jobIDs   = regexp.MustCompile(`job_[a-z2-7]{26}`)
	uuids    = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	digests  = regexp.MustCompile(`[0-9a-f]{16,}`)
	texts    = regexp.MustCompile(`[A-Z2-7]{26}`)
	dates    = regexp.MustCompile(`\d{4}-\d{2}-\d{2}`)
	longNums = regexp.MustCompile(`\d{5,}`)
)

// keyPattern puts the kind of every id in its place.
func keyPattern(key string) string {
	key = jobIDs.ReplaceAllString(key, "JOB")
	key = uuids.ReplaceAllString(key, "UUID")
	key = digests.ReplaceAllString(key, "DIGEST")
	key = texts.ReplaceAllString(key, "TASK")
	key = dates.ReplaceAllString(key, "DATE")
	return longNums.ReplaceAllString(key, "N")
}
