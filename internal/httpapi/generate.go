package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// imageSuffix behind a model's id asks for pictures in place of Markdown, as LobeChat does.
const imageSuffix = ":image"

// order is a checked request.
type order struct {
	spec   imagegen.Spec
	model  imagegen.Model
	images bool    // the model was asked for by its id with imageSuffix
	upload *upload // nil: the request brought no picture, or one by URL
	wish   job.Wish
}

// upload is a picture that a request brought along, under the name it gets in the store.
type upload struct {
	name    string
	picture picture.Picture
}

// order resolves and checks a request. previous is the picture to edit where the request brings none.
func (s *Server) order(r *http.Request, ask openai.Ask, previous *openai.Source) (order, error) {
	m, images, err := s.model(exchangeOf(r).key, ask.Model)
	if err != nil {
		return order{}, err
	}
	o := order{model: m, images: images}
	source := ask.Source
	if source == nil && m.Edit {
		source = previous
	}
	p := ask.Params
	if source != nil {
		if p.Source = source.URL; source.URL == "" {
			if o.upload, err = s.accept(m, source.Data); err != nil {
				return order{}, inField(err, ask.Field)
			}
			p.Source, p.SourceFile = s.baseURL(r)+filesPath+o.upload.name, o.upload.name
		}
	}
	if o.spec, err = m.NewSpec(p, rand.Uint32); err != nil {
		return order{}, inField(err, ask.Field)
	}
	clear(p.Extra) // what the model left may be large, and the request may wait for long
	return o, nil
}

// accept looks at an uploaded picture. For a model that cannot edit it looks at nothing: the model's own refusal tells more.
func (s *Server) accept(m imagegen.Model, data []byte) (*upload, error) {
	if !m.Edit {
		return &upload{}, nil
	}
	if !s.uploads {
		return nil, &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Param: "image",
			Message: "This gateway has no image store, so it takes no uploads: send the picture as an http(s) URL.",
		}
	}
	format, ok := picture.Sniff(data)
	if !ok || len(data) > picture.MaxBytes {
		return nil, &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Param: "image",
			Message: "The picture must be a PNG, JPEG, WebP, GIF or AVIF file of at most 32 MiB.",
		}
	}
	return &upload{name: imagestore.NewName(format), picture: picture.Picture{Format: format, Data: data}}, nil
}

// inField names the field that prompt and picture came in.
func inField(err error, field string) error {
	e := imagegen.AsError(err)
	if field == "" || e.Param != "prompt" && e.Param != "image" {
		return err
	}
	renamed := *e
	renamed.Param = field
	return &renamed
}

// submit makes a job of the request, or joins the one that it stands for, names it in the reply, and goes on with then.
// waitFor is how long the caller stays on the line; a job of nobody's is one of a batch.
func (s *Server) submit(
	w http.ResponseWriter, r *http.Request, o order, waitFor time.Duration, then func(job.Submission) (rest, error),
) (rest, error) {
	n, err := s.newJob(r, o, waitFor)
	if err != nil {
		return rest{}, err
	}
	upload := o.upload != nil
	if s.gate.open() {
		return s.make(w, r, n, upload, nil, then)
	}
	// Thousands may stand at the gate, with little more than what is to be made.
	return rest{
		wait: func() { err = s.gate.enter(r.Context()) },
		then: func() (rest, error) { return s.make(w, r, n, upload, err, then) },
	}, nil
}

// newJob says what is to be made of a request, and stores the picture that it brought.
func (s *Server) newJob(r *http.Request, o order, waitFor time.Duration) (job.New, error) {
	x := exchangeOf(r)
	n := job.New{
		Owner: x.owner, Spec: o.spec, Class: job.ClassInteractive, Wish: o.wish, WaitFor: waitFor,
		Limits: job.Limits{RPM: x.key.RPM, MaxPending: x.key.MaxPending, ImagesPerDay: x.key.ImagesPerDay},
	}
	if waitFor == 0 {
		n.Class = job.ClassBatch
	}
	n.BaseURL = s.baseURL(r)
	var err error
	if n.Claim, err = x.claim(r); err != nil {
		return job.New{}, err
	}
	if o.upload != nil {
		n.ID = job.NewID()
		if err := s.files.Put(r.Context(), o.upload.name, string(n.ID), o.upload.picture); err != nil {
			return job.New{}, &imagegen.Error{
				Kind: imagegen.KindQueueUnavailable, Message: "the picture could not be stored at the moment; please try again", Err: err,
			}
		}
	}
	return n, nil
}

// make makes the job of a request that was let through the gate; err is why it was not.
func (s *Server) make(
	w http.ResponseWriter, r *http.Request, n job.New, upload bool, err error, then func(job.Submission) (rest, error),
) (rest, error) {
	var sub job.Submission
	if err == nil {
		err = s.gate.pass(r.Context(), func(ctx context.Context) (err error) {
			sub, err = s.jobs.Submit(ctx, n)
			return err
		})
	}
	// Refused, or joined to a job that has the picture. Where nobody knows whether the job was made, that is found out later.
	if upload && sub.Job.ID != n.ID && (err == nil || errors.Is(err, errSentAway) || imagegen.AsError(err).Kind != imagegen.KindQueueUnavailable) {
		s.discard(r.Context(), n.ID, discardTimeout)
	}
	setRate(w.Header(), sub.Rate)
	if err != nil {
		return rest{}, err
	}
	if sub.Joined && n.Claim.Mode == job.ClaimByKey {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	exchangeOf(r).hold(w, sub.Job.ID)
	return then(sub)
}

const (
	// discardTimeout is what may be added to a refusal, which is promised within two seconds.
	discardTimeout = 200 * time.Millisecond
	// deleteTimeout is what a bucket that is far away may take for the pictures of a job.
	deleteTimeout = 5 * time.Second
)

// discard deletes the pictures of a job that was not made, or was forgotten. What stays behind is deleted when it is due.
func (s *Server) discard(ctx context.Context, id job.ID, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := s.files.Delete(ctx, string(id)); err != nil {
		s.log.WarnContext(ctx, "delete pictures that are not needed", slog.String("job_id", string(id)), slog.Any("error", err))
	}
}

// hold notes the request's job and names it in the reply.
func (x *exchange) hold(w http.ResponseWriter, id job.ID) {
	x.jobID = id
	w.Header().Set("X-Job-Id", string(id))
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request) (rest, error) {
	body, err := readBody(r)
	if err != nil {
		return rest{}, err
	}
	req, err := openai.DecodeChat(body)
	if err != nil {
		return rest{}, err
	}
	options := openai.ChatOptions{IncludeUsage: req.IncludeUsage, Images: req.Images}
	if s.housekeeping && req.Text != nil {
		return rest{}, s.chatText(w, r, req, options)
	}
	o, err := s.order(r, req.Ask, req.Previous)
	if err != nil {
		return rest{}, err
	}
	options.Images = options.Images || o.images
	if req.Stream {
		return s.streamChat(w, r, o, options)
	}
	show := url.Values{}
	if options.Images {
		show.Set("images", "true")
	}
	return s.plain(w, r, o, show, s.renderChat)
}

func (s *Server) renderChat(_ context.Context, j job.Job, show url.Values) (any, error) {
	return openai.NewChatCompletion(j, show.Get("images") == "true"), nil
}

// chatText answers a prompt of the client's own, which nobody wants drawn.
func (s *Server) chatText(w http.ResponseWriter, r *http.Request, req openai.ChatRequest, options openai.ChatOptions) error {
	m, _, err := s.model(exchangeOf(r).key, req.Model)
	if err != nil {
		return err
	}
	s.answered(r)
	if !req.Stream {
		return writeJSON(w, http.StatusOK, openai.NewTextCompletion(m.ID, *req.Text))
	}
	events := openai.NewTextStream(s.beginStream(w, r), m.ID, options)
	if err := events.Start(job.Job{}); err != nil {
		return err
	}
	return events.Text(*req.Text)
}

// answered notes that a request was answered without a job.
func (s *Server) answered(r *http.Request) {
	exchangeOf(r).text = true
	if s.metrics != nil {
		s.metrics.HousekeepingAnswered()
	}
}
