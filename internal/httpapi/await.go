package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// render encodes the reply to a finished job that has pictures. show holds what the request said of the reply's form.
type render func(ctx context.Context, j job.Job, show url.Values) (any, error)

// plain opens a call that is not streamed: it makes a job, and the rest waits for its pictures.
func (s *Server) plain(w http.ResponseWriter, r *http.Request, o order, show url.Values, f render) (rest, error) {
	if p := prefer(r); p.async {
		return s.promise(w, r, o, p, show, f)
	}
	return s.submit(w, r, o, s.patience, func(sub job.Submission) (rest, error) {
		return s.await(w, r, wait{job: sub.Job.ID, token: sub.Token, until: time.Now().Add(s.patience), show: show}, f), nil
	})
}

// promise opens a call whose client would rather have a job than wait long. If the pictures are there in time, it gets
// them as it would have otherwise.
func (s *Server) promise(
	w http.ResponseWriter, r *http.Request, o order, p preference, show url.Values, f render,
) (rest, error) {
	p.wait = min(p.wait, s.patience)
	return s.submit(w, r, o, p.wait, func(sub job.Submission) (rest, error) {
		p.applied(w)
		if p.wait == 0 {
			return rest{}, s.accepted(w, r, sub.Job)
		}
		return s.atMost(r, p.wait, sub.Job.ID, func(j *job.Job, err error) error {
			return s.hurried(w, r, sub, j, err, show, f)
		}), nil
	})
}

// atMost waits so long for a job; then comes the wait's end.
func (s *Server) atMost(r *http.Request, d time.Duration, id job.ID, then func(*job.Job, error) error) rest {
	var j *job.Job
	var err error
	return rest{
		wait: func() {
			ctx, cancel := context.WithTimeoutCause(r.Context(), d, errPollOver)
			defer cancel()
			j, err = s.jobs.Wait(ctx, exchangeOf(r).owner, id, job.Beat{})
		},
		then: func() (rest, error) { return rest{}, then(j, err) },
	}
}

// hurried answers a call that waited no longer than it was willing to: where its job goes on, with that.
func (s *Server) hurried(
	w http.ResponseWriter, r *http.Request, sub job.Submission, j *job.Job, err error, show url.Values, f render,
) error {
	s.part(r, line{sub.Job.ID, sub.Token}, err)
	if isPromise(err) {
		j, err := s.jobs.Get(r.Context(), exchangeOf(r).owner, sub.Job.ID)
		if err != nil {
			j = sub.Job // it goes on; a failure would have the client order it again
		}
		return s.accepted(w, r, j)
	}
	if err != nil {
		return err
	}
	if e := openai.JobError(*j); e != nil {
		return e
	}
	v, err := f(r.Context(), *j, show)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

// await waits for a job and answers with its reply. Long waits are kept alive: clients that follow redirects are sent
// round in time (see wait), others get a status and newlines (see keepalive), after which a failure can only be told by
// breaking the connection.
func (s *Server) await(w http.ResponseWriter, r *http.Request, a wait, f render) rest {
	began := time.Now()
	var j *job.Job
	var err error
	return rest{
		wait: func() { j, err = s.outcome(r, a) },
		then: func() (rest, error) {
			if err == nil && s.goesRound(r, a) {
				// Most replies need no such sign.
				x := exchangeOf(r)
				x.alive.start(x.w, max(s.keepalive-time.Since(began), newlinePause))
			}
			return rest{}, s.conclude(w, r, a, f, j, err)
		},
	}
}

// conclude answers a call that waited, with the reply to its job or with why there is none.
func (s *Server) conclude(w http.ResponseWriter, r *http.Request, a wait, f render, j *job.Job, err error) error {
	s.part(r, line{a.job, a.token}, err)
	if err == nil {
		if e := openai.JobError(*j); e != nil {
			err = e
		}
	}
	var v any
	if err == nil {
		v, err = f(r.Context(), *j, a.show)
	}
	committed := exchangeOf(r).alive.stop()
	switch {
	case err == nil:
		return writeJSON(committedWriter{w, committed}, http.StatusOK, v)
	case errors.Is(err, errNextRound):
		return nextRound(w, r, a)
	case committed && !gone(r, err):
		exchangeOf(r).breakOff(r, imagegen.AsError(err))
		return nil
	}
	return err
}

// goesRound reports whether the client is sent round when it has waited for long. It is so while the job is not finished;
// if its reply then takes long, it is kept alive like any other.
func (s *Server) goesRound(r *http.Request, a wait) bool {
	return s.keepalive > 0 && a.rounds < maxRounds(r)
}

// outcome waits for the end of the job.
func (s *Server) outcome(r *http.Request, a wait) (*job.Job, error) {
	ctx := r.Context()
	switch {
	case s.keepalive <= 0:
	case s.goesRound(r, a):
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, s.keepalive, errNextRound)
		defer stop()
	default:
		x := exchangeOf(r)
		x.alive.start(x.w, s.keepalive)
	}
	j, err := s.jobs.Wait(ctx, exchangeOf(r).owner, a.job, s.atLast(a))
	if errors.Is(err, errNextRound) && s.draining.Load() {
		// A next round would find nobody here. If the drain ends first, the client is told so, with a status.
		j, err = s.jobs.Wait(r.Context(), exchangeOf(r).owner, a.job, s.atLast(a))
	}
	return j, err
}

// atLast ends a wait whose time is over. A context with a deadline would do the same, and cost each of thousands who
// wait 700 bytes.
func (s *Server) atLast(a wait) job.Beat {
	return job.Beat{Every: max(time.Until(a.until), 1), Func: func(context.Context) error { return s.overdue(a.job) }}
}

// overdue is what a caller is told whose wait took too long.
func (s *Server) overdue(id job.ID) *imagegen.Error {
	return &imagegen.Error{
		Kind:    imagegen.KindGenerationTimeout,
		Message: fmt.Sprintf("The picture was not ready within %s. The job goes on: read it at %s.", s.patience, jobPath(id)),
	}
}

// wait is a caller's wait for a job. One that was redirected comes back with all of it in its query, so that any API
// process can go on.
//
// Redirects are for the clients whose HTTP layer is known to follow them (fetch, net/http) and that make nothing good of
// a failure once a status has come. The official JavaScript and Go SDKs read the body outside of their retries, so that an
// aborted reply is an error which hides the true one; Vercel's AI SDK repeats it without a word of being a repetition,
// which would be a second job. A redirect within one call costs no retry, and the last one brings the true status. It
// also outlasts proxies that end a call after a fixed time, and the 300 s that Node's fetch waits for headers.
type wait struct {
	job    job.ID
	token  string // of this round, on the job's line
	until  time.Time
	rounds int // redirects so far
	show   url.Values
}

// errNextRound ends a round of a wait.
var errNextRound = errors.New("the wait goes on in another round")

// maxRounds is how many redirects the client follows: one below what its HTTP layer allows. After that it gets newlines.
func maxRounds(r *http.Request) int {
	const fetch, netHTTP = 19, 9 // https://fetch.spec.whatwg.org/#http-redirect-fetch, net/http.Client
	switch lang := r.Header.Get("X-Stainless-Lang"); {
	case lang == "js", strings.Contains(r.UserAgent(), "ai-sdk"):
		return fetch
	case lang == "go":
		return netHTTP
	}
	return 0
}

// jobLike is what a job's id may look like that is repeated in headers and the log.
var jobLike = regexp.MustCompile(`^job_[a-z0-9]{1,64}$`)

// lastLook is how long a wait takes at least whose time is over.
const lastLook = time.Second

// The parameters of a wait's query, beside those of its show.
const (
	paramJob    = "wait"
	paramUntil  = "until"
	paramRounds = "rounds"
)

// nextRound sends the caller round. The Location is relative, a query alone, so that it holds whatever the proxies in
// between make of host and path. 303 turns the POST into a GET: nothing is uploaded again.
//
// What the query held already goes along: something on the way may look at it.
func nextRound(w http.ResponseWriter, r *http.Request, a wait) error {
	q := r.URL.Query()
	maps.Copy(q, a.show)
	q.Set(paramJob, string(a.job))
	q.Set(paramUntil, strconv.FormatInt(a.until.UnixMilli(), 10))
	q.Set(paramRounds, strconv.Itoa(a.rounds+1))
	w.Header().Set("Location", "?"+q.Encode())
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusSeeOther, struct{}{})
}

// resume opens for a caller that was sent round. Without the query it is a GET where none is.
func (s *Server) resume(f render) opening {
	return func(w http.ResponseWriter, r *http.Request) (rest, error) {
		q := r.URL.Query()
		if !q.Has(paramJob) {
			return rest{}, s.methodNotAllowed(w, r)
		}
		// The wait itself finds out whose job it is, or that there is none: it goes on where Redis is away meanwhile.
		a := wait{job: job.ID(q.Get(paramJob)), until: time.Now().Add(s.patience), show: q}
		if !jobLike.MatchString(string(a.job)) {
			return rest{}, &imagegen.Error{Kind: imagegen.KindJobNotFound, Message: "there is no such job, or it has expired"}
		}
		exchangeOf(r).hold(w, a.job)
		if ms, err := strconv.ParseInt(q.Get(paramUntil), 10, 64); err == nil {
			// What finished in the last moment is still handed over.
			ms = max(ms, time.Now().Add(lastLook).UnixMilli())
			a.until = time.UnixMilli(min(ms, a.until.UnixMilli()))
		}
		if n, err := strconv.Atoi(q.Get(paramRounds)); err == nil {
			a.rounds = max(n, 0)
		}
		a.token = s.join(r, a.job)
		return s.await(w, r, a, f), nil
	}
}
