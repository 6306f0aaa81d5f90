package job

import (
	"context"
	"maps"
	"slices"
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

// Paces are how fast the workers draw: with all upstreams together, and with each that some worker serves.
type Paces struct {
	All Pace
	Of  map[string]Pace // by name
}

// at returns the pace of an upstream; that of all together where no worker tells one upstream from another.
func (p Paces) at(upstream string) Pace {
	own, served := p.Of[upstream]
	if len(p.Of) > 0 && !served || own.Known() {
		return own
	}
	return p.All
}

// Outlook is when a job may be done.
type Outlook struct {
	Position int           // how many pictures start before its next one, itself included; 0 where none waits
	ETA      time.Duration // until it is done; 0: nobody knows
	// Held is when an upstream is tried again that fails, and is spared calls; zero: no picture waits for such a one.
	Held time.Time
}

// Outlook estimates when jobs will be done, in one look at the queues.
func (s *Service) Outlook(ctx context.Context, jobs ...Job) ([]Outlook, error) {
	var tasks []Task
	upstreams := map[string]bool{}
	for _, j := range jobs {
		for _, t := range j.ahead() {
			tasks = append(tasks, t)
			upstreams[t.Upstream()] = true
		}
	}
	all := make([]Outlook, len(jobs))
	if len(tasks) == 0 {
		return all, nil
	}
	places, paces, err := s.queue.Outlook(ctx, tasks...)
	if err != nil {
		return nil, unavailable(err)
	}
	pauses, err := s.cfg.PausesFunc(ctx, slices.Sorted(maps.Keys(upstreams))...)
	if err != nil {
		return nil, unavailable(err)
	}
	now := time.Now()
	for i, j := range jobs {
		n := len(j.ahead())
		all[i] = j.outlook(places[:n], paces, pauses, now, s.store.clockSkew())
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

// outlook makes an estimate of the places of a job's unfinished pictures. skew is the clock of its record minus now's.
func (j Job) outlook(places []int, paces Paces, pauses map[string]time.Time, now time.Time, skew time.Duration) (o Outlook) {
	last := map[string]int{} // place of the last picture that waits for an upstream
	for i, t := range j.ahead() {
		u, place := t.Upstream(), places[i]
		if place > 0 && (o.Position == 0 || place < o.Position) {
			o.Position = place
		}
		last[u] = max(last[u], place)
		if until := pauses[u]; until.After(o.Held) {
			o.Held = until
		}
	}
	for u, place := range last {
		pace := paces.at(u)
		if !pace.Known() {
			return Outlook{Position: o.Position, Held: o.Held}
		}
		// The last picture starts when those before it have, and takes as long as others do. One that waits nowhere is being
		// drawn, or rests before its next attempt.
		eta := pace.Drain(place) + pace.Call
		if place == 0 && !j.StartedAt.IsZero() {
			eta -= now.Add(skew).Sub(j.StartedAt)
		}
		eta = max(eta, time.Second)
		if until, held := pauses[u]; held && until.After(now) {
			eta += until.Sub(now)
		}
		o.ETA = max(o.ETA, eta)
	}
	return o
}
