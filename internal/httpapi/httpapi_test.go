package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	key      = "sk-test"
	otherKey = "sk-other"
	dog      = "一只可爱的小狗，1:2"
)

// fakeJobs is a job service whose jobs are finished as soon as they are made, unless a field says otherwise.
type fakeJobs struct {
	submitFunc  func(context.Context, job.New) (job.Submission, error)
	getFunc     func(context.Context, string, job.ID) (job.Job, error)
	waitFunc    func(context.Context, string, job.ID) (job.Job, error)
	outlookFunc func(context.Context, ...job.Job) ([]job.Outlook, error)
	followFunc  func(ctx context.Context, seen int64, beat job.Beat, tell func(job.Job) error) error
	listFunc    func(context.Context, string, job.ListQuery) ([]job.Job, bool, error)
	cancelFunc  func(context.Context, string, job.ID) (job.Job, error)

	mu      sync.Mutex
	made    []job.New
	joinErr error
	line    []string // what became of callers: "join", "leave" or "keep", and the token
}

func (f *fakeJobs) Submit(ctx context.Context, n job.New) (job.Submission, error) {
	f.mu.Lock()
	f.made = append(f.made, n)
	f.mu.Unlock()
	if f.submitFunc != nil {
		return f.submitFunc(ctx, n)
	}
	j := newJob(n)
	if n.ID != "" {
		j.ID = n.ID
	}
	sub := job.Submission{Job: j}
	if n.WaitFor > 0 {
		sub.Token = "token"
	}
	return sub, nil
}

func (f *fakeJobs) Join(_ context.Context, _ string, _ job.ID, d time.Duration) (string, error) {
	if err := f.noted(fmt.Sprintf("join for %v", d)); err != nil || f.joinErr != nil {
		return "", errors.Join(err, f.joinErr)
	}
	return "again", nil
}

func (f *fakeJobs) Leave(_ context.Context, _ job.ID, token string) { _ = f.noted("leave " + token) }

func (f *fakeJobs) Keep(_ context.Context, _ job.ID, token string) error {
	return f.noted("keep " + token)
}

func (f *fakeJobs) noted(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.line = append(f.line, what)
	return nil
}

func (f *fakeJobs) Follow(
	ctx context.Context, _ string, _ job.ID, seen int64, beat job.Beat, tell func(job.Job) error,
) error {
	return f.followFunc(ctx, seen, beat, tell)
}

func (f *fakeJobs) List(ctx context.Context, owner string, q job.ListQuery) ([]job.Job, bool, error) {
	return f.listFunc(ctx, owner, q)
}

func (f *fakeJobs) Delete(ctx context.Context, owner string, id job.ID) error {
	_, err := f.Cancel(ctx, owner, id)
	return err
}

// last returns the job that was asked for last.
func (f *fakeJobs) last(t *testing.T) job.New {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.made) == 0 {
		t.Fatal("no job was made")
	}
	return f.made[len(f.made)-1]
}

func (f *fakeJobs) Get(ctx context.Context, owner string, id job.ID) (job.Job, error) {
	if f.getFunc != nil {
		return f.getFunc(ctx, owner, id)
	}
	return job.Job{}, &imagegen.Error{Kind: imagegen.KindJobNotFound, Message: "no such job"}
}

// errBeat makes waitFunc's contexts end when a beat is due.
var errBeat = errors.New("a beat is due")

func (f *fakeJobs) Wait(ctx context.Context, owner string, id job.ID, beat job.Beat) (*job.Job, error) {
	for f.waitFunc != nil {
		if beat.Every == 0 {
			j, err := f.waitFunc(ctx, owner, id)
			return &j, err
		}
		pause, cancel := context.WithTimeoutCause(ctx, beat.Every, errBeat)
		j, err := f.waitFunc(pause, owner, id)
		cancel()
		if !errors.Is(err, errBeat) {
			return &j, err
		}
		if err := beat.Func(ctx); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	j := finished(newJob(f.made[len(f.made)-1]))
	return &j, nil
}

func (f *fakeJobs) Cancel(ctx context.Context, owner string, id job.ID) (job.Job, error) {
	if f.cancelFunc != nil {
		return f.cancelFunc(ctx, owner, id)
	}
	return f.Get(ctx, owner, id)
}

// fakePictures serves pictures from memory, by URL; the ones it has not are not to be had.
type fakePictures map[string]picture.Picture

func (f fakePictures) Fetch(ctx context.Context, url string) (picture.Picture, error) {
	p, ok := f[url]
	if !ok {
		return picture.Picture{}, errors.New("no such picture")
	}
	return p, ctx.Err()
}

// fakeFiles keeps pictures in memory.
type fakeFiles struct {
	mu   sync.Mutex
	kept map[string]picture.Picture
	jobs map[string]string // by name
	err  error
	// openErr is what Open fails with.
	openErr error
}

func (f *fakeFiles) Put(_ context.Context, name, jobID string, p picture.Picture) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil {
		f.kept, f.jobs = map[string]picture.Picture{}, map[string]string{}
	}
	f.kept[name], f.jobs[name] = p, jobID
	return f.err
}

func (f *fakeFiles) Delete(_ context.Context, jobID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, id := range f.jobs {
		if id == jobID {
			delete(f.kept, name)
		}
	}
	return nil
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func (f *fakeFiles) Open(_ context.Context, name string) (*imagestore.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.openErr != nil {
		return nil, f.openErr
	}
	p, ok := f.kept[name]
	if !ok {
		return nil, imagestore.ErrNotFound
	}
	return &imagestore.File{
		ReadSeekCloser: memory{bytes.NewReader(p.Data)}, Size: int64(len(p.Data)), ModTime: time.Unix(1730800000, 0),
		Format: p.Format, ETag: `"abc"`,
	}, nil
}

func (f *fakeJobs) Outlook(ctx context.Context, jobs ...job.Job) ([]job.Outlook, error) {
	if f.outlookFunc != nil {
		return f.outlookFunc(ctx, jobs...)
	}
	return make([]job.Outlook, len(jobs)), nil
}

// joining is a job service where an earlier request made the job.
func joining(j job.Job) *fakeJobs {
	return &fakeJobs{submitFunc: func(context.Context, job.New) (job.Submission, error) {
		return job.Submission{Job: j, Joined: true}, nil
	}}
}

// refusing is a job service that makes no job.
func refusing(rate *job.Rate, err error) *fakeJobs {
	return &fakeJobs{submitFunc: func(context.Context, job.New) (job.Submission, error) { return job.Submission{Rate: rate}, err }}
}

// foresee says the same of every job.
func foresee(o job.Outlook) func(context.Context, ...job.Job) ([]job.Outlook, error) {
	return func(_ context.Context, jobs ...job.Job) ([]job.Outlook, error) {
		return slices.Repeat([]job.Outlook{o}, len(jobs)), nil
	}
}

// never waits for a job that does not finish.
func never(ctx context.Context, _ string, _ job.ID) (job.Job, error) {
	<-ctx.Done()
	return job.Job{}, context.Cause(ctx)
}

// after waits for a job that is finished so long after now.
func after(d time.Duration, j job.Job) func(context.Context, string, job.ID) (job.Job, error) {
	done := time.Now().Add(d)
	return func(ctx context.Context, _ string, _ job.ID) (job.Job, error) {
		timer := time.NewTimer(time.Until(done))
		defer timer.Stop()
		select {
		case <-timer.C:
			return j, nil
		case <-ctx.Done():
			return job.Job{}, context.Cause(ctx)
		}
	}
}

func newJob(n job.New) job.Job {
	return job.Job{
		ID: "job_abc", Status: job.StatusQueued, Owner: n.Owner, Class: n.Class, Spec: n.Spec, Wish: n.Wish,
		CreatedAt: time.Unix(1730800000, 0), Pictures: make([]job.Picture, n.Spec.N()),
	}
}

// finished draws all pictures of a job.
func finished(j job.Job) job.Job {
	j.Status, j.StartedAt = job.StatusCompleted, time.Unix(1730800001, 0)
	j.CompletedAt, j.ExpiresAt = time.Unix(1730800009, 0), time.Unix(1730886409, 0)
	for i := range j.Pictures {
		j.Pictures[i].Image = &imagegen.Image{
			URL: "https://img.example/a.png?x=1&y=2", Seed: j.Spec.Seeds[i], Width: j.Spec.Width, Height: j.Spec.Height,
		}
		j.Calls = append(j.Calls, job.Call{
			Image: i, Attempt: 1, Upstream: "exacg", StartedAt: j.StartedAt, Duration: 8123 * time.Millisecond,
			Outcome: job.CallOK, Billed: imagegen.BilledYes,
		})
	}
	return j
}

func failed(j job.Job, kind imagegen.Kind) job.Job {
	j.Status = job.StatusFailed
	j.Pictures[0].Error = &imagegen.Error{Kind: kind, Message: "it did not work"}
	return j
}

// dogJob is the seed's example as a job, with a fixed seed.
func dogJob() job.Job {
	return newJob(job.New{Class: job.ClassInteractive, Spec: imagegen.Spec{
		Model: "Z-Image", Upstreams: []string{"exacg"}, ModelIndex: 5, Prompt: "一只可爱的小狗",
		Width: 1024, Height: 2048, Steps: 8, CFG: 7, Quality: "auto", Seeds: []uint32{123},
	}})
}

func newServer(t *testing.T, jobs httpapi.Jobs, change ...func(*httpapi.Config)) *httpapi.Server {
	t.Helper()
	m := imagegen.DefaultModel()
	m.Aliases = []string{"dall-e-3", "owner/model"}
	catalog, err := imagegen.NewCatalog([]imagegen.Model{m})
	if err != nil {
		t.Fatal(err)
	}
	c := httpapi.Config{
		Jobs: jobs, Catalog: catalog, Keys: []httpapi.Key{httpapi.NewKey(key), httpapi.NewKey(otherKey)},
		Logger: slog.New(slog.DiscardHandler), Version: "v1.2.3", Pictures: fakePictures{},
	}
	for _, f := range change {
		f(&c)
	}
	s, err := httpapi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// logInto has the server write its log as JSON lines.
func logInto(b *bytes.Buffer) func(*httpapi.Config) {
	return func(c *httpapi.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// logged returns the fields of the last line of a log.
func logged(t *testing.T, b *bytes.Buffer) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	var fields map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &fields); err != nil {
		t.Fatalf("%v in %q", err, b.String())
	}
	return fields
}

// request returns one with the test's key; headers are pairs of name and value, an empty value removes one.
func request(t *testing.T, method, target, body string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	for pair := range slices.Chunk(headers, 2) {
		if pair[1] == "" {
			r.Header.Del(pair[0])
		} else {
			r.Header.Set(pair[0], pair[1])
		}
	}
	return r
}

func send(t *testing.T, h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(t, method, target, body, headers...))
	return w
}

// wantError checks an error reply's status, code and shape, and returns its message.
func wantError(t *testing.T, w *httptest.ResponseRecorder, status int, code, param string) string {
	t.Helper()
	if w.Code != status {
		t.Errorf("got status %d, want %d: %s", w.Code, status, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("got content type %q", got)
	}
	if w.Header().Get("X-Request-Id") == "" {
		t.Error("got no request id")
	}
	var reply struct {
		Error struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    string  `json:"code"`
		} `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	wantType := "invalid_request_error"
	switch {
	case status == http.StatusTooManyRequests:
		wantType = "rate_limit_error"
	case status >= 500:
		wantType = "server_error"
	}
	e := reply.Error
	if e.Code != code || e.Type != wantType || e.Message == "" {
		t.Errorf("got %s, want code %s, type %s", w.Body, code, wantType)
	}
	if got := value(e.Param); got != param {
		t.Errorf("got param %q, want %q", got, param)
	}
	return e.Message
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path) //nolint:gosec // a file of testdata
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(want)); diff != "" {
		t.Errorf("%s (-got +want):\n%s", name, diff)
	}
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
