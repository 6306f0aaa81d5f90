package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const (
	// enqueueTimeout bounds queueing; a job whose tasks are not queued by then waits for the sweeper.
	enqueueTimeout = 1500 * time.Millisecond
	// withdrawTimeout is what may be added to a refusal, which is promised within two seconds.
	withdrawTimeout = 200 * time.Millisecond
	// holderLook and holderLookMax are the first and the longest pause between looks for the record of a claim's holder.
	holderLook    = 5 * time.Millisecond
	holderLookMax = 250 * time.Millisecond
	// fullRetryAfter is when to come again to a full queue whose pace nobody knows.
	fullRetryAfter = 5 * time.Second
)

// Submit records the job and queues its pictures. Once the record is written the job is accepted, and will reach a
// terminal state whatever happens to this process; trouble with the queue after that is the sweeper's to mend.
//
// A request that claims what another one claimed before gets the job of that one (see [Claim]). Of many at the same time,
// on any number of processes, one makes the job.
func (s *Service) Submit(ctx context.Context, n New) (Submission, error) {
	// A caller that goes away in between must not leave half a job.
	ctx = context.WithoutCancel(ctx)
	if err := s.possible(n); err != nil {
		return Submission{}, err
	}
	id := n.ID
	if id == "" {
		id = NewID()
	}
	replaced := ID("")
	for pause := holderLook; ; pause = min(2*pause, holderLookMax) {
		sub, held, err := s.try(ctx, id, n, replaced)
		if err != nil || held == nil {
			return sub, err
		}
		sub, takeOver, err := s.join(ctx, n, *held)
		switch {
		case err != nil || sub.Joined:
			return sub, err
		case takeOver:
			replaced = held.holder
		default: // its record is on its way
			timer := time.NewTimer(pause)
			<-timer.C
		}
	}
}

// possible refuses what no waiting would make possible.
func (s *Service) possible(n New) error {
	most := s.cfg.MaxPending
	if n.Limits.MaxPending > 0 {
		most = min(most, n.Limits.MaxPending)
	}
	if n.Spec.N() > most {
		return &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Param: "n", Message: fmt.Sprintf("n is more than the %d pictures that may wait here.", most),
		}
	}
	return nil
}

// try makes the job, unless another request holds the claim: then held is that one.
//
// One script admits the job and makes it, where nothing has to happen in between.
func (s *Service) try(ctx context.Context, id ID, n New, replaced ID) (sub Submission, held *admission, err error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout) // all of it: the caller is promised an answer
	defer cancel()
	if n.WaitFor > 0 && s.cfg.Drop != DropNever {
		sub.Token = newToken()
	}
	var watch *Watch
	if n.WaitFor > 0 {
		watch = s.watcher.Watch(id) // before there is anything to be heard
	}
	defer func() {
		if held != nil || err != nil {
			watch.Stop()
		}
	}()
	served := s.cfg.ServedFunc(n.Spec.Upstreams)
	var a admission
	if s.store.cluster || n.Limits.RPM > 0 || len(served) == 0 {
		a, err = s.store.admit(ctx, id, n, s.cfg.MaxPending, replaced)
	} else {
		var d draft
		if d, err = s.draft(ctx, id, n, served[0], sub.Token); err == nil {
			a, err = s.store.submit(ctx, id, n, s.cfg.MaxPending, replaced, d)
		}
	}
	switch {
	case err != nil:
		return sub, nil, unavailable(err)
	case a.verdict == "held":
		return sub, &a, nil
	case a.verdict != "in":
		return sub, nil, s.refusal(ctx, a, n)
	case a.made.IsZero():
		if sub.Rate, err = s.mayMake(ctx, n, served); err != nil {
			s.withdraw(ctx, id, n, a)
			return sub, nil, err
		}
		if a.made, err = s.make(ctx, id, n, a, served[0], sub.Token); err != nil {
			return sub, nil, unavailable(err)
		}
	}
	s.metrics.JobSubmitted(string(n.Class))
	if a.rank < 0 { // the command was repeated, as its reply was lost: much may have happened since
		watch.Stop()
		if sub.Job, err = s.store.Get(ctx, id); err != nil {
			return sub, nil, unavailable(err)
		}
		return sub, nil, nil
	}
	sub.Job = Job{ID: id, Status: StatusQueued, Owner: n.Owner, Class: n.Class, Spec: n.Spec, Wish: n.Wish, CreatedAt: a.made, Version: 1}
	for _, t := range n.tasks(id, a.rank, served[0]) {
		sub.Job.Pictures = append(sub.Job.Pictures, Picture{Queue: t.Queue})
	}
	if watch != nil {
		made := sub.Job
		s.fresh.add(&made, watch)
	}
	return sub, nil, nil
}

func (s *Service) draft(ctx context.Context, id ID, n New, upstream, token string) (d draft, err error) {
	d.queues, d.token = n.queues(upstream), token
	d.insert, err = s.queue.Insert(ctx, n.tasks(id, 0, upstream), d.queues...)
	return d, err
}

// mayMake says why a job that was admitted is not to be made, if so, and counts it against its key's rate.
func (s *Service) mayMake(ctx context.Context, n New, served []string) (rate *Rate, err error) {
	if n.Limits.RPM > 0 {
		if rate, err = s.allow(ctx, n); err != nil {
			return rate, err
		}
	}
	if len(served) == 0 {
		return rate, &imagegen.Error{
			Kind:    imagegen.KindUpstreamAccount,
			Message: fmt.Sprintf("The model %s is not available at the moment: nothing in this gateway draws for it.", n.Spec.Model),
		}
	}
	return rate, nil
}

// make makes a job that was admitted.
func (s *Service) make(ctx context.Context, id ID, n New, a admission, upstream, token string) (at time.Time, err error) {
	if s.store.cluster {
		tasks := n.tasks(id, a.rank, upstream)
		queues := make([]string, len(tasks))
		for i, t := range tasks {
			queues[i] = t.Queue
		}
		if at, err = s.store.Create(ctx, id, n, queues, token); err == nil {
			s.enqueue(ctx, id, tasks)
		}
	} else {
		d, failure := s.draft(ctx, id, n, upstream, token)
		if failure != nil {
			s.withdraw(ctx, id, n, a)
			return at, failure
		}
		at, err = s.store.make(ctx, id, n, a.rank, d)
	}
	if errors.Is(err, errTooLate) { // else it may have been written: a later try of the request must find it
		s.withdraw(ctx, id, n, a)
	}
	return at, err
}

func (s *Service) enqueue(ctx context.Context, id ID, tasks []Task) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enqueueTimeout)
	defer cancel()
	if err := s.queue.Enqueue(ctx, tasks...); err != nil {
		s.log.WarnContext(ctx, "queue a job's tasks; the sweeper will", slog.String("job_id", string(id)), slog.Any("error", err))
	}
}

func (s *Service) withdraw(ctx context.Context, id ID, n New, a admission) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTimeout)
	defer cancel()
	if err := s.store.withdraw(ctx, id, n, a.superseded); err != nil {
		s.log.WarnContext(ctx, "take back a refused job; the sweeper will", slog.Any("error", err))
	}
}

// join gives the caller the job of the request that holds the claim. takeOver says that there is none to join; neither
// that it may be on its way.
func (s *Service) join(ctx context.Context, n New, held admission) (sub Submission, takeOver bool, err error) {
	j, err := s.Get(ctx, n.Owner, held.holder)
	if err != nil {
		if imagegen.AsError(err).Kind == imagegen.KindJobNotFound {
			return sub, held.age >= claimGrace, nil
		}
		return sub, false, err
	}
	if !held.sameBody {
		s.metrics.JobRefused(string(imagegen.KindKeyReused))
		return sub, false, &imagegen.Error{
			Kind: imagegen.KindKeyReused, Param: "Idempotency-Key",
			Message: "This Idempotency-Key came with another request before: use a new key for a new request.",
		}
	}
	// A retry makes a new job where somebody cancelled the first. Where it was dropped nobody has ever been answered.
	if j.Dropped || n.Claim.Mode == ClaimRetry && j.Status == StatusCancelled {
		return sub, true, nil
	}
	sub = Submission{Job: j, Joined: true}
	s.store.relist(ctx, j)
	if n.WaitFor > 0 {
		sub.Token, err = s.Join(ctx, n.Owner, j.ID, n.WaitFor)
	} else {
		err = s.Keep(ctx, j.ID, "")
	}
	if err != nil {
		return Submission{}, false, err
	}
	s.metrics.JobJoined(string(n.Claim.Mode))
	return sub, false, nil
}

// allow counts a request against its key's rate.
func (s *Service) allow(ctx context.Context, n New) (*Rate, error) {
	rate, wait, ok, err := s.limiter.Allow(ctx, n.Owner, n.Limits.RPM)
	if err != nil {
		return nil, unavailable(err)
	}
	if !ok {
		s.metrics.JobRefused(string(imagegen.KindRateLimited))
		return &rate, &imagegen.Error{
			Kind: imagegen.KindRateLimited, RetryAfter: wait,
			Message: fmt.Sprintf("Too many requests: this API key may make %d a minute.", rate.Limit),
		}
	}
	return &rate, nil
}

// refusal says why a job was not admitted, and when to come again.
func (s *Service) refusal(ctx context.Context, a admission, n New) error {
	e := &imagegen.Error{Kind: imagegen.KindInternal, Err: fmt.Errorf("unknown verdict %q on an admission", a.verdict)}
	switch a.verdict {
	case "full":
		e = &imagegen.Error{Kind: imagegen.KindQueueFull, Message: "Too many pictures are waiting here at the moment; please try again."}
	case "key_full":
		e = &imagegen.Error{
			Kind:    imagegen.KindRateLimited,
			Message: fmt.Sprintf("%d pictures of this API key are waiting, and no more than %d may.", a.rank, n.Limits.MaxPending),
		}
	case "quota":
		e = &imagegen.Error{
			Kind: imagegen.KindQuota, RetryAfter: time.Minute,
			Message: fmt.Sprintf("This API key may have %d pictures a day, of which %d are taken. The day ends at midnight UTC.",
				n.Limits.ImagesPerDay, a.rank),
		}
	}
	s.metrics.JobRefused(string(e.Kind))
	if e.RetryAfter == 0 {
		e.RetryAfter = fullRetryAfter
		// When there is room for this job, at the present rate.
		if _, paces, err := s.queue.Outlook(ctx); err == nil {
			if pace := paces.at(n.Spec.Upstreams[0]); pace.Known() {
				e.RetryAfter = pace.Drain(n.Spec.N())
			}
		}
	}
	return e
}
