package openai

import (
	"fmt"
	"math"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Job is a job as its owner sees it. Times are unix seconds.
type Job struct {
	ID            job.ID            `json:"id"`
	Object        string            `json:"object"`
	Status        job.Status        `json:"status"`
	Model         string            `json:"model"`
	CreatedAt     int64             `json:"created_at"`
	StartedAt     *int64            `json:"started_at"`
	CompletedAt   *int64            `json:"completed_at"`
	ExpiresAt     *int64            `json:"expires_at"`
	QueuePosition *int              `json:"queue_position"`       // null: not waiting, or not known
	ETASeconds    *int              `json:"eta_seconds"`          // until it is done; null: not known
	HeldUntil     *int64            `json:"held_until,omitempty"` // when an upstream that fails is tried again; nil: it waits for none such
	Progress      *float64          `json:"progress,omitempty"`   // how much is drawn, 0 to 1; nil: the upstream does not say
	Attempts      int               `json:"attempts"`             // calls to the upstream, all pictures together
	Request       JobRequest        `json:"request"`
	Result        *JobResult        `json:"result"` // null until the job is terminal, and without any picture
	Error         *ErrorObject      `json:"error"`
	Metadata      map[string]string `json:"metadata"`
	Calls         []JobCall         `json:"calls"`
}

// JobRequest is what a job draws.
type JobRequest struct {
	Prompt         string  `json:"prompt"` // cleaned
	N              int     `json:"n"`
	Width          int     `json:"width"`
	Height         int     `json:"height"`
	Steps          int     `json:"steps"`
	CFG            float64 `json:"cfg"`
	Seed           uint32  `json:"seed"` // the first picture's
	NegativePrompt *string `json:"negative_prompt"`
	Quality        string  `json:"quality"`
}

// JobResult is what a job drew.
type JobResult struct {
	Created int64      `json:"created"`
	Data    []JobImage `json:"data"`
}

// JobImage is one picture of a job.
type JobImage struct {
	URL           string `json:"url"`
	Seed          uint32 `json:"seed"`
	Width         int    `json:"width"`
	Height        int    `json:"height"`
	RevisedPrompt string `json:"revised_prompt,omitempty"`
}

// JobCall is one call to an upstream, and what is known of its price.
type JobCall struct {
	Image      int             `json:"image"`
	Attempt    int             `json:"attempt"` // from 1
	Upstream   string          `json:"upstream"`
	StartedAt  int64           `json:"started_at"`
	DurationMS int64           `json:"duration_ms"`
	Outcome    job.CallOutcome `json:"outcome"`
	Billed     imagegen.Billed `json:"billed"`
}

// NewJob encodes a job, with what is known of when it will be done.
func NewJob(j job.Job, outlook job.Outlook) Job {
	out := Job{
		ID: j.ID, Object: "job", Status: j.Status, Model: j.Spec.Model,
		CreatedAt: j.CreatedAt.Unix(),
		StartedAt: seconds(j.StartedAt), CompletedAt: seconds(j.CompletedAt), ExpiresAt: seconds(j.ExpiresAt),
		Attempts: len(j.Calls),
		Request:  newJobRequest(j.Spec),
		Metadata: map[string]string{},
		Calls:    make([]JobCall, 0, len(j.Calls)),
	}
	if j.Metadata != nil {
		out.Metadata = j.Metadata
	}
	for _, c := range j.Calls {
		out.Calls = append(out.Calls, JobCall{
			Image: c.Image, Attempt: c.Attempt, Upstream: c.Upstream,
			StartedAt: c.StartedAt.Unix(), DurationMS: c.Duration.Milliseconds(), Outcome: c.Outcome, Billed: c.Billed,
		})
	}
	if !j.Status.Terminal() {
		if outlook.Position > 0 {
			out.QueuePosition = &outlook.Position
		}
		out.ETASeconds, out.HeldUntil, out.Progress = etaSeconds(outlook), seconds(outlook.Held), progress(j)
		return out
	}
	if have := pictures(j); len(have) > 0 {
		out.Result = &JobResult{Created: j.CreatedAt.Unix()}
		for _, p := range have {
			out.Result.Data = append(out.Result.Data, JobImage{
				URL: p.URL, Seed: p.Seed, Width: p.Width, Height: p.Height, RevisedPrompt: p.RevisedPrompt,
			})
		}
	}
	if e := shortfall(j); e != nil {
		o := newErrorObject(e)
		out.Error = &o
	}
	return out
}

// progress returns how much of all pictures is drawn; nil where nothing is, as far as one knows: most upstreams say nothing
// of the pictures under way.
func progress(j job.Job) *float64 {
	var sum float64
	said := false
	for _, p := range j.Pictures {
		switch {
		case p.Final():
			sum++
			said = true
		case p.Progress > 0:
			sum += p.Progress
			said = true
		}
	}
	if !said {
		return nil
	}
	return new(math.Round(100*sum/float64(len(j.Pictures))) / 100)
}

// etaSeconds returns the estimate in whole seconds, rounded up; nil where there is none.
func etaSeconds(o job.Outlook) *int {
	if o.ETA <= 0 {
		return nil
	}
	return new(int((o.ETA + time.Second - 1) / time.Second))
}

// JobList is a page of a key's jobs, newest first.
type JobList struct {
	Object  string  `json:"object"`
	Data    []Job   `json:"data"`
	FirstID *job.ID `json:"first_id"` // null where there is none
	LastID  *job.ID `json:"last_id"`  // for the parameter after of the next page
	HasMore bool    `json:"has_more"`
}

// NewJobList encodes a page; there is one outlook for each job.
func NewJobList(jobs []job.Job, outlooks []job.Outlook, more bool) JobList {
	l := JobList{Object: "list", Data: make([]Job, len(jobs)), HasMore: more}
	for i, j := range jobs {
		l.Data[i] = NewJob(j, outlooks[i])
	}
	if len(jobs) > 0 {
		l.FirstID, l.LastID = &jobs[0].ID, &jobs[len(jobs)-1].ID
	}
	return l
}

func newJobRequest(s imagegen.Spec) JobRequest {
	r := JobRequest{
		Prompt: s.Prompt, N: s.N(), Width: s.Width, Height: s.Height, Steps: s.Steps, CFG: s.CFG,
		NegativePrompt: s.NegativePrompt, Quality: s.Quality,
	}
	if len(s.Seeds) > 0 {
		r.Seed = s.Seeds[0]
	}
	if r.Quality == "" {
		r.Quality = "auto"
	}
	return r
}

// JobError returns what a caller who waited for a finished job is told in place of pictures; nil if there is one.
func JobError(j job.Job) *imagegen.Error {
	if len(pictures(j)) > 0 {
		return nil
	}
	if e := shortfall(j); e != nil {
		return e
	}
	if j.Status == job.StatusCancelled {
		return &imagegen.Error{Kind: imagegen.KindJobCancelled, Message: "The job was cancelled before a picture was drawn."}
	}
	return &imagegen.Error{Kind: imagegen.KindInternal, Err: fmt.Errorf("job %s is %s without picture or error", j.ID, j.Status)}
}

// shortfall returns the first failure among a job's pictures, or nil. Beside pictures it says how many are missing.
func shortfall(j job.Job) *imagegen.Error {
	var first *imagegen.Error
	failed := 0
	for _, p := range j.Pictures {
		if p.Error == nil {
			continue
		}
		if first == nil {
			first = p.Error
		}
		failed++
	}
	if first == nil || len(pictures(j)) == 0 {
		return first
	}
	partial := *first
	partial.Message = fmt.Sprintf("%d of %d pictures could not be drawn: %s", failed, len(j.Pictures), first.Message)
	return &partial
}

func seconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	return new(t.Unix())
}
