package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

const (
	// maxPoll is the longest a client may wait in one read of a job.
	maxPoll = time.Minute
	// outlookTimeout bounds the look at the queue: a guess is not worth a wait.
	outlookTimeout = time.Second
	// defaultPage and maxPage are how many jobs a list holds.
	defaultPage = 20
	maxPage     = 100
)

// errPollOver ends the wait of a poll.
var errPollOver = errors.New("the poll is over")

func jobPath(id job.ID) string { return "/v1/jobs/" + url.PathEscape(string(id)) }

// pathID returns the job's id in the path. One that does not unescape is nobody's.
func pathID(r *http.Request) job.ID {
	id, _ := url.PathUnescape(chi.URLParam(r, "id"))
	return job.ID(id)
}

func (s *Server) createJob(w http.ResponseWriter, r *http.Request) (rest, error) {
	body, err := readBody(r)
	if err != nil {
		return rest{}, err
	}
	req, err := openai.DecodeJob(body)
	if err != nil {
		return rest{}, err
	}
	if err := s.mayTell(req.WebhookURL); err != nil {
		return rest{}, err
	}
	o, err := s.order(r, req.Ask, nil)
	if err != nil {
		return rest{}, err
	}
	o.wish = job.Wish{Metadata: req.Metadata, WebhookURL: req.WebhookURL}
	return s.submit(w, r, o, 0, func(sub job.Submission) (rest, error) {
		p := prefer(r)
		if p.async {
			p.applied(w)
		}
		return s.poll(r, sub.Job, p.wait, func(j job.Job, err error) error {
			switch {
			case err == nil:
			case gone(r, err):
				return err
			default:
				j = sub.Job // it goes on; a failure would have the client order it again
			}
			return s.accepted(w, r, j)
		})
	})
}

// mayTell refuses a webhook that could not be delivered.
func (s *Server) mayTell(webhookURL string) error {
	if webhookURL == "" {
		return nil
	}
	err := errors.New("webhook_url cannot be used: webhooks are not set up on this gateway")
	if s.checkWebhook != nil {
		err = s.checkWebhook(webhookURL)
	}
	if err == nil {
		return nil
	}
	return &imagegen.Error{Kind: imagegen.KindInvalidValue, Param: "webhook_url", Message: err.Error()}
}

// accepted answers with a job that goes on.
func (s *Server) accepted(w http.ResponseWriter, r *http.Request, j job.Job) error {
	w.Header().Set("Location", jobPath(j.ID))
	return s.writeJob(w, r, http.StatusAccepted, j)
}

func (s *Server) getJob(w http.ResponseWriter, r *http.Request) (rest, error) {
	patience, err := pollTime(r.URL.Query().Get("wait"))
	if err != nil {
		return rest{}, err
	}
	x := exchangeOf(r)
	j, err := s.jobs.Get(r.Context(), x.owner, pathID(r))
	if err != nil {
		return rest{}, err
	}
	x.hold(w, j.ID)
	return s.poll(r, j, patience, func(j job.Job, err error) error { //nolint:contextcheck // the request has it
		if err != nil {
			return err
		}
		return s.writeJob(w, r, http.StatusOK, j)
	})
}

// poll waits a while for a job's end, and goes on with the job as it is then.
func (s *Server) poll(r *http.Request, j job.Job, patience time.Duration, then func(job.Job, error) error) (rest, error) {
	if patience == 0 || j.Status.Terminal() {
		return rest{}, then(j, nil)
	}
	return s.atMost(r, patience, j.ID, func(finished *job.Job, err error) error {
		switch {
		case err == nil:
			return then(*finished, nil)
		case errors.Is(err, errPollOver):
			return then(s.jobs.Get(r.Context(), j.Owner, j.ID))
		}
		return then(job.Job{}, err)
	}), nil
}

func (s *Server) listJobs(w http.ResponseWriter, r *http.Request) error {
	q, err := listQuery(r.URL.Query())
	if err != nil {
		return err
	}
	jobs, more, err := s.jobs.List(r.Context(), exchangeOf(r).owner, q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, openai.NewJobList(jobs, s.outlooks(r.Context(), jobs...), more))
}

func listQuery(v url.Values) (job.ListQuery, error) {
	q := job.ListQuery{Limit: defaultPage, After: job.ID(v.Get("after")), Status: job.Status(v.Get("status"))}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, &imagegen.Error{
				Kind: imagegen.KindInvalidValue, Param: "limit", Message: fmt.Sprintf("limit must be a number from 1 to %d.", maxPage),
			}
		}
		q.Limit = min(n, maxPage)
	}
	if q.Status != "" && !slices.Contains(job.Statuses(), q.Status) {
		var names []string
		for _, s := range job.Statuses() {
			names = append(names, string(s))
		}
		return q, &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Param: "status", Message: "status must be one of " + strings.Join(names, ", ") + ".",
		}
	}
	return q, nil
}

func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r)
	j, err := s.jobs.Cancel(r.Context(), x.owner, pathID(r))
	if err != nil {
		return err
	}
	x.hold(w, j.ID)
	return s.writeJob(w, r, http.StatusOK, j)
}

func (s *Server) deleteJob(w http.ResponseWriter, r *http.Request) error {
	x, id := exchangeOf(r), pathID(r)
	if err := s.jobs.Delete(r.Context(), x.owner, id); err != nil {
		return err
	}
	x.hold(w, id)
	if s.files != nil {
		s.discard(r.Context(), id, deleteTimeout)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// followJob streams the job's changes. A client that lost its connection says which one it saw last; one that saw the end
// is told not to come again (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (s *Server) followJob(w http.ResponseWriter, r *http.Request) (rest, error) {
	ctx, x := r.Context(), exchangeOf(r)
	j, err := s.jobs.Get(ctx, x.owner, pathID(r))
	if err != nil {
		return rest{}, err
	}
	x.hold(w, j.ID)
	seen, err := strconv.ParseInt(r.Header.Get("Last-Event-Id"), 10, 64)
	if err != nil {
		seen = 0 // none, or none of ours: no job has that version
	}
	if j.Status.Terminal() && seen == j.Version {
		w.WriteHeader(http.StatusNoContent)
		return rest{}, nil
	}
	out := openai.NewJobStream(s.beginStream(w, r))
	if r.Method == http.MethodHead {
		return rest{}, nil // nothing of the stream would arrive
	}
	var held time.Time
	tell := func(o job.Outlook) error {
		held = o.Held
		return out.Tell(j, o)
	}
	beat := job.Beat{Every: s.pause, Func: func(ctx context.Context) error {
		o := s.outlook(ctx, j)
		if !o.Held.Equal(held) { // a change of the job's upstream is one of the job, too
			return tell(o)
		}
		return out.Waiting(o)
	}}
	return rest{
		wait: func() {
			err = s.jobs.Follow(ctx, x.owner, j.ID, seen, beat, func(now job.Job) error {
				j = now
				return tell(s.outlook(ctx, j))
			})
		},
		then: func() (rest, error) { return rest{}, err },
	}, nil
}

// writeJob answers with the job, and with when to look again if it is not finished.
func (s *Server) writeJob(w http.ResponseWriter, r *http.Request, status int, j job.Job) error {
	o := s.outlook(r.Context(), j)
	if !j.Status.Terminal() {
		after := time.Duration(min(o.Position, 60)+1) * time.Second
		if o.ETA > 0 {
			after = o.ETA
		}
		retryAfter(w.Header(), after)
	}
	return writeJSON(w, status, openai.NewJob(j, o))
}

// outlook estimates when the job will be done.
func (s *Server) outlook(ctx context.Context, j job.Job) job.Outlook { return s.outlooks(ctx, j)[0] }

// outlooks estimates when the jobs will be done; nothing is said of them where that cannot be told in time.
func (s *Server) outlooks(ctx context.Context, jobs ...job.Job) []job.Outlook {
	ctx, cancel := context.WithTimeout(ctx, outlookTimeout)
	defer cancel()
	all, err := s.jobs.Outlook(ctx, jobs...)
	if err != nil {
		return make([]job.Outlook, len(jobs)) // the reply is worth more than the guess
	}
	return all
}

// pollTime reads ?wait: a Go duration or plain seconds, cut to maxPoll.
func pollTime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		seconds, numberErr := strconv.ParseFloat(s, 64)
		err = numberErr
		d = time.Duration(min(seconds, maxPoll.Seconds()) * float64(time.Second))
		if math.IsNaN(seconds) || math.IsInf(seconds, 0) || seconds < 0 {
			d = -1
		}
	}
	if err != nil || d < 0 {
		return 0, &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Param: "wait",
			Message: "wait must be a time like 30s, or a number of seconds.",
		}
	}
	return min(d, maxPoll), nil
}
