package queue_test

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// BenchmarkDispatch is the way of a task from Enqueue to its handler, and the end of the one before.
func BenchmarkDispatch(b *testing.B) {
	for name, inFlight := range map[string]int{"one at a time": 1, "64 in flight": 64} {
		b.Run(name, func(b *testing.B) {
			url := redistest.URL(b)
			client := queue.NewClient(connect(b, url))
			ran := make(chan struct{}, inFlight)
			serve(b, url, queue.ServerConfig{Concurrency: inFlight}, func(context.Context, queue.Errand) error {
				ran <- struct{}{}
				return nil
			})
			enqueue(b, client, newTask(job.LaneExpress)) // the worker is there
			receive(b, ran, "first task")
			b.ReportAllocs()
			dispatch(b, client, ran, inFlight)
		})
	}
}

// dispatch enqueues a task for each turn of the benchmark, from so many goroutines, each of which waits for some task to
// run before it enqueues the next.
func dispatch(b *testing.B, client *queue.Client, ran <-chan struct{}, inFlight int) {
	b.Helper()
	turns := make(chan struct{})
	ended := make(chan error, inFlight)
	for range inFlight {
		go func() {
			var err error
			for range turns {
				if err == nil {
					err = client.Enqueue(b.Context(), newTask(job.LaneExpress))
				}
				if err == nil {
					<-ran
				}
			}
			ended <- err
		}()
	}
	for b.Loop() {
		turns <- struct{}{}
	}
	close(turns)
	for range inFlight {
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDepth is what tasks cost where many wait before them; its figures should not depend on the depth.
func BenchmarkDepth(b *testing.B) {
	if testing.Short() {
		b.Skip("lays out 100,000 tasks")
	}
	for _, depth := range []int{10, 1000, 100_000} {
		b.Run(strconv.Itoa(depth), func(b *testing.B) {
			url := redistest.URL(b)
			client := queue.NewClient(connect(b, url))
			tasks := enqueueMany(b, client, depth)
			for what, asked := range map[string][]job.Task{
				"place of the next":      tasks[:1],
				"place in the middle":    tasks[depth/2:][:1],
				"place of the last":      tasks[depth-1:],
				"places of the last ten": tasks[depth-10:],
			} {
				b.Run(what, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if places, _, err := client.Outlook(b.Context(), asked...); err != nil || places[0] == 0 {
							b.Fatal(places, err)
						}
					}
				})
			}
			b.Run("enqueue and take", func(b *testing.B) {
				ran, end := make(chan struct{}), make(chan struct{})
				serve(b, url, queue.ServerConfig{Concurrency: 1}, func(context.Context, queue.Errand) error {
					select {
					case ran <- struct{}{}:
					case <-end:
					}
					return nil
				})
				b.Cleanup(func() { close(end) })
				b.ReportAllocs()
				for b.Loop() { // as many come as are taken
					enqueue(b, client, newTask(job.LaneBulk))
					receive(b, ran, "task")
				}
			})
		})
	}
}

// enqueueMany makes tasks wait, roughly in their order.
func enqueueMany(b *testing.B, client *queue.Client, n int) []job.Task {
	b.Helper()
	tasks := make([]job.Task, n)
	for i := range tasks {
		tasks[i] = newTask(job.LaneBulk)
	}
	const batch = 10
	var g errgroup.Group
	g.SetLimit(32)
	for some := range slices.Chunk(tasks, batch) {
		g.Go(func() error { return client.Enqueue(b.Context(), some...) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return tasks
}
