package job

import (
	"context"
	"time"
)

// Pace is how fast the workers draw. Its zero value means that nobody knows.
type Pace struct {
	Slots int           // calls at once over all workers
	Call  time.Duration // mean duration of a call lately
}

// Known reports whether there is anything to estimate with.
func (p Pace) Known() bool { return p.Slots > 0 && p.Call > 0 }

// Drain estimates how long n waiting pictures take to start.
func (p Pace) Drain(n int) time.Duration {
	if !p.Known() {
		return 0
	}
	return time.Duration(n) * p.Call / time.Duration(p.Slots)
}

// Outlook is when a job may be done.
type Outlook struct {
	Position int           // how many pictures start before its next one, itself included; 0 where none waits
	ETA      time.Duration // until it is done; 0: nobody knows
}

// Outlook estimates when jobs will be done, in one look at the queues.
func (s *Service) Outlook(ctx context.Context, jobs ...Job) ([]Outlook, error) {
	var tasks []Task
	for _, j := range jobs {
		tasks = append(tasks, j.ahead()...)
	}
	all := make([]Outlook, len(jobs))
	if len(tasks) == 0 {
		return all, nil
	}
	places, pace, err := s.queue.Outlook(ctx, tasks...)
	if err != nil {
		return nil, unavailable(err)
	}
	now := time.Now().Add(s.store.clockSkew())
	for i, j := range jobs {
		n := len(j.ahead())
		all[i] = j.outlook(places[:n], pace, now)
		places = places[n:]
	}
	return all, nil
}

// ahead returns the tasks that a job still waits for.
func (j Job) ahead() []Task {
	if j.Status.Terminal() {
		return nil
	}
	return j.unfinished()
}

// unfinished returns the tasks of pictures that are not final, and will never be if the job has ended.
func (j Job) unfinished() (tasks []Task) {
	for i, p := range j.Pictures {
		if !p.Final() {
			tasks = append(tasks, j.task(i))
		}
	}
	return tasks
}

// outlook makes an estimate of the places of a job's unfinished pictures.
func (j Job) outlook(places []int, pace Pace, now time.Time) (o Outlook) {
	last := 0
	for _, p := range places {
		if p > 0 && (o.Position == 0 || p < o.Position) {
			o.Position = p
		}
		last = max(last, p)
	}
	if len(places) == 0 || !pace.Known() {
		return o
	}
	// The last picture starts when those before it have, and takes as long as others do. One that waits nowhere is being
	// drawn, or rests before its next attempt.
	o.ETA = pace.Drain(last) + pace.Call
	if last == 0 && !j.StartedAt.IsZero() {
		o.ETA -= now.Sub(j.StartedAt)
	}
	o.ETA = max(o.ETA, time.Second)
	return o
}
