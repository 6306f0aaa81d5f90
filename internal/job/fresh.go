package job

import (
	"sync"
	"time"
)

// freshFor is how long a job that was just made is remembered for its caller, who waits for it at once.
const freshFor = 10 * time.Second

// freshJobs are the jobs that this process has made and whose callers have still to wait for them. Each has been watched
// since before there was a record of it, so that its wait needs no look at the record before the first change.
type freshJobs struct {
	mu   sync.Mutex
	jobs map[ID]freshJob
}

type freshJob struct {
	made   *Job
	watch  *Watch
	forget *time.Timer
}

func newFreshJobs() *freshJobs { return &freshJobs{jobs: make(map[ID]freshJob)} }

// add remembers a job for a while.
func (f *freshJobs) add(made *Job, watch *Watch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs[made.ID] = freshJob{made, watch, time.AfterFunc(freshFor, func() {
		if _, watch := f.take(made.ID, made.Owner); watch != nil {
			watch.Stop()
		}
	})}
}

// take hands a job of the owner's over to its first caller, as it was made; the watch is nil where it is not fresh.
func (f *freshJobs) take(id ID, owner string) (made *Job, watch *Watch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh, ok := f.jobs[id]
	if !ok || fresh.made.Owner != owner {
		return nil, nil
	}
	delete(f.jobs, id)
	fresh.forget.Stop()
	return fresh.made, fresh.watch
}
