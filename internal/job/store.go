package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const (
	// createWindow is how long after it was sent a record may still be written; createTimeout leaves the reply some
	// time to arrive. Together they keep a refusal under the two seconds a caller is promised.
	createWindow  = 1300 * time.Millisecond
	createTimeout = 1700 * time.Millisecond
	// callTimeout bounds every other round trip.
	callTimeout = 3 * time.Second
	// repeatTTL is how long a client's repetition of a request finds the job of the first.
	repeatTTL = 15 * time.Minute
)

var (
	// ErrNotFound says that there is no record of the job.
	ErrNotFound = errors.New("job not found")
	errTooLate  = errors.New("redis answered too late")
)

// Store keeps job records in Redis. Its methods are safe for concurrent use; each is one round trip.
type Store struct {
	client    redis.UniversalClient
	retention time.Duration
	// skew is Redis' clock minus ours in milliseconds, once known.
	skew      atomic.Int64
	skewKnown atomic.Bool
}

// NewStore returns a store on the client, which stays the caller's to close. Finished jobs are kept for retention.
func NewStore(client redis.UniversalClient, retention time.Duration) *Store {
	return &Store{client: client, retention: retention}
}

// Create writes the record of a new job and returns when it was made, by Redis' clock. Either it is written within
// about a second and a half, or it never will be: a caller that got an error may tell its own that there is no job.
func (s *Store) Create(ctx context.Context, id ID, n New) (time.Time, error) {
	spec, err1 := json.Marshal(n.Spec)
	wish, err2 := json.Marshal(n.Wish)
	if err := errors.Join(err1, err2); err != nil {
		return time.Time{}, fmt.Errorf("encode job %s: %w", id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	deadline := time.Now().Add(createWindow)
	for {
		if err := s.learnClock(ctx); err != nil {
			return time.Time{}, fmt.Errorf("create job %s: %w", id, err)
		}
		made, at, err := s.create(ctx, id, n, [2]string{string(spec), string(wish)}, deadline)
		if err != nil {
			return time.Time{}, fmt.Errorf("create job %s: %w", id, err)
		}
		if made {
			return at, nil
		}
		// Redis says it is too late. If our own clock disagrees, one of the two was set meanwhile: learn and try again.
		s.skew.Store(time.Until(at).Milliseconds())
		if time.Now().After(deadline) {
			return time.Time{}, fmt.Errorf("create job %s: %w", id, errTooLate)
		}
	}
}

func (s *Store) create(ctx context.Context, id ID, n New, texts [2]string, deadline time.Time) (bool, time.Time, error) {
	notAfter := deadline.UnixMilli() + s.skew.Load()
	args := []any{notAfter, n.Owner, string(n.Class), texts[0], n.Spec.N(), QueueName(n.Spec.Upstream, laneOf(n.Class, 1)), texts[1]}
	// The id is listed as open before the record exists: a record the sweeper does not know of would be lost with its task.
	pipe := s.client.Pipeline()
	pipe.ZAdd(ctx, openKey, redis.Z{Score: float64(notAfter), Member: string(id)})
	if n.Fingerprint != "" {
		pipe.Set(ctx, repeatKey(n.Fingerprint), string(id), repeatTTL)
	}
	reply := createScript.EvalSha(ctx, pipe, []string{recordKey(id)}, args...)
	_, err := pipe.Exec(ctx)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply = createScript.Eval(ctx, s.client, []string{recordKey(id)}, args...)
		err = reply.Err()
	}
	if err != nil {
		return false, time.Time{}, fmt.Errorf("write record: %w", err)
	}
	got, err := reply.Int64Slice()
	if err != nil || len(got) != 2 {
		return false, time.Time{}, fmt.Errorf("write record: unexpected reply: %w", errors.Join(err, errShape))
	}
	return got[0] == 1, time.UnixMilli(got[1]), nil
}

var errShape = errors.New("reply has another shape than the script's")

// learnClock asks Redis for its time, once.
func (s *Store) learnClock(ctx context.Context) error {
	if s.skewKnown.Load() {
		return nil
	}
	at, err := s.client.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("ask redis for its time: %w", err)
	}
	s.skew.Store(time.Until(at).Milliseconds())
	s.skewKnown.Store(true)
	return nil
}

// Get reads a job. It returns ErrNotFound where there is none (any more).
func (s *Store) Get(ctx context.Context, id ID) (Job, error) {
	if !id.Valid() {
		return Job{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout) // callers are promised an answer within two seconds
	defer cancel()
	fields, err := s.client.HGetAll(ctx, recordKey(id)).Result()
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	if len(fields) == 0 {
		return Job{}, ErrNotFound
	}
	j, err := decode(id, fields)
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	return j, nil
}

// Repeated returns the newest job that a request of the fingerprint made, empty where there is none.
func (s *Store) Repeated(ctx context.Context, fingerprint string) (ID, error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	id, err := s.client.Get(ctx, repeatKey(fingerprint)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("look for the job of an earlier request: %w", err)
	}
	return ID(id), nil
}

// Cancel ends a job that is not terminal yet, and reports whether it did: a terminal one is left as it is. It returns
// ErrNotFound where there is none.
func (s *Store) Cancel(ctx context.Context, id ID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	reply, err := cancelScript.Run(ctx, s.client, []string{recordKey(id)},
		s.retention.Milliseconds(), string(id), EventsChannel).StringSlice()
	if err != nil {
		return false, fmt.Errorf("cancel job %s: %w", id, err)
	}
	if len(reply) != 1 {
		return false, fmt.Errorf("cancel job %s: %w", id, errShape)
	}
	if reply[0] == "gone" {
		return false, ErrNotFound
	}
	// Best effort: the sweeper removes what stays behind.
	_ = s.client.ZRem(ctx, openKey, string(id)).Err()
	return !Status(reply[0]).Terminal(), nil
}

// KeptUntil returns when the job's record expires, for those who keep something as long as it; a while from now where
// the job is not finished. ok is false where there is no such job (any more).
func (s *Store) KeptUntil(ctx context.Context, id string) (until time.Time, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	values, err := s.client.HMGet(ctx, recordKey(ID(id)), "status", "expires").Result()
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read the end of job %s: %w", id, err)
	}
	status, ok := values[0].(string)
	if !ok {
		return time.Time{}, false, nil
	}
	expires, _ := values[1].(string)
	ms, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || !Status(status).Terminal() {
		return time.Now().Add(keptMeanwhile), true, nil
	}
	return time.UnixMilli(ms), true, nil
}

// keptMeanwhile is when to ask again about a job that is not finished.
const keptMeanwhile = time.Minute

// Status returns the job's status, empty where there is no record.
func (s *Store) Status(ctx context.Context, id ID) (Status, error) {
	all, err := s.statuses(ctx, []ID{id})
	if err != nil {
		return "", err
	}
	return all[0], nil
}

// statuses returns the status of each job, empty where there is no record.
func (s *Store) statuses(ctx context.Context, ids []ID) ([]Status, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pipe := s.client.Pipeline()
	replies := make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		replies[i] = pipe.HGet(ctx, recordKey(id), "status")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read states of %d jobs: %w", len(ids), err)
	}
	statuses := make([]Status, len(ids))
	for i, r := range replies {
		statuses[i] = Status(r.Val())
	}
	return statuses, nil
}

// StartOptions are a worker's rules for starting a call.
type StartOptions struct {
	MarkTTL         time.Duration // life of the owner mark
	MaxAttempts     int
	RepeatAmbiguous bool // repeat calls that may have been paid for
}

// Start asks to draw the task's picture in a call named callID, unique to it. Asking again with the same callID is
// harmless and gives the same answer.
func (s *Store) Start(ctx context.Context, t Task, callID, upstream string, o StartOptions) (Start, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	reply, err := startScript.Run(ctx, s.client, []string{recordKey(t.Job)},
		t.Image, t.Generation, callID, o.MarkTTL.Milliseconds(), o.MaxAttempts, o.RepeatAmbiguous,
		string(t.Job), EventsChannel, upstream).Slice()
	if err != nil {
		return Start{}, fmt.Errorf("start task %s: %w", t.ID(), err)
	}
	start, err := decodeStart(reply)
	if err != nil {
		return Start{}, fmt.Errorf("start task %s: %w", t.ID(), err)
	}
	return start, nil
}

// Finish records the end of a call and returns the job's status after it; an empty status means that the record did not
// want it: the job is gone, or another result was first. Finishing twice is harmless.
func (s *Store) Finish(ctx context.Context, t Task, callID string, f Finish) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	payload, err := f.payload()
	if err != nil {
		return "", fmt.Errorf("finish task %s: %w", t.ID(), err)
	}
	attempt, entry, billed := 0, "", imagegen.BilledNo
	if f.Call != nil {
		attempt, entry, billed = f.Call.Attempt, encodeCall(*f.Call), f.Call.Billed
	}
	reply, err := finishScript.Run(ctx, s.client, []string{recordKey(t.Job)},
		t.Image, callID, attempt, string(f.Verdict), entry, string(billed), payload,
		s.retention.Milliseconds(), string(t.Job), EventsChannel).StringSlice()
	if err != nil {
		return "", fmt.Errorf("finish task %s: %w", t.ID(), err)
	}
	if len(reply) != 1 {
		return "", fmt.Errorf("finish task %s: %w", t.ID(), errShape)
	}
	if reply[0] == "gone" || reply[0] == "late" {
		return "", nil
	}
	status := Status(reply[0])
	if status.Terminal() {
		// Best effort: the sweeper removes what stays behind.
		_ = s.client.ZRem(ctx, openKey, string(t.Job)).Err()
	}
	return status, nil
}

func (f Finish) payload() (string, error) {
	var v any
	switch f.Verdict {
	case FinishDone:
		v = f.Image
	case FinishFailed:
		v = storedError{Kind: f.Error.Kind, Param: f.Error.Param, Message: f.Error.Message}
	case FinishRetry:
		return "", nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode result: %w", err)
	}
	return string(b), nil
}

// Mark names one picture under way: the call's owner mark.
type Mark struct {
	Task   Task
	CallID string
}

// Renew keeps the owner marks of calls under way and reports for each whether it is still its owner's.
func (s *Store) Renew(ctx context.Context, marks []Mark, ttl time.Duration) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	replies := make([]*redis.Cmd, len(marks))
	exec := func(eval func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) error {
		pipe := s.client.Pipeline()
		for i, m := range marks {
			replies[i] = eval(ctx, pipe, []string{recordKey(m.Task.Job)}, m.Task.Image, m.CallID, ttl.Milliseconds())
		}
		_, err := pipe.Exec(ctx)
		return err //nolint:wrapcheck // wrapped below
	}
	err := exec(renewScript.EvalSha)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = exec(renewScript.Eval)
	}
	if err != nil {
		return nil, fmt.Errorf("renew %d owner marks: %w", len(marks), err)
	}
	kept := make([]bool, len(marks))
	for i, r := range replies {
		n, err := r.Int()
		if err != nil {
			return nil, fmt.Errorf("renew owner mark of task %s: %w", marks[i].Task.ID(), err)
		}
		kept[i] = n == 1
	}
	return kept, nil
}

// raise replaces the task and returns the one to queue instead; ok is false where there is nothing to replace.
func (s *Store) raise(ctx context.Context, t Task) (Task, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	gen, err := raiseScript.Run(ctx, s.client, []string{recordKey(t.Job)}, t.Image, strconv.FormatInt(t.Generation, 10)).Int64()
	if err != nil {
		return Task{}, false, fmt.Errorf("raise task %s: %w", t.ID(), err)
	}
	t.Generation = gen
	return t, gen != 0, nil
}
