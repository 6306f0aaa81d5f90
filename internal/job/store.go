package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// callTimeout bounds a round trip that no caller waits for.
const callTimeout = 3 * time.Second

var (
	// ErrNotFound says that there is no record of the job.
	ErrNotFound = errors.New("job not found")
	errShape    = errors.New("reply has another shape than the script's")
)

// Store keeps job records in Redis. Its methods are safe for concurrent use. A change of a record is one round trip; what
// follows it, in the sets beside the records, is part of that or another, which the sweeper makes up for where it fails.
type Store struct {
	client    redis.UniversalClient
	cluster   bool // keys are on many servers, which know no common order
	retention time.Duration
	// skew is Redis' clock minus ours in milliseconds, once known.
	skew      atomic.Int64
	skewKnown atomic.Bool
	// submitting is the script that makes jobs, once it was needed.
	submitting atomic.Pointer[submitting]
}

// NewStore returns a store on the client, which stays the caller's to close. Finished jobs are kept for retention.
func NewStore(client redis.UniversalClient, retention time.Duration) *Store {
	_, cluster := client.(*redis.ClusterClient)
	return &Store{client: client, cluster: cluster, retention: retention}
}

// Get reads a job. It returns ErrNotFound where there is none (any more).
func (s *Store) Get(ctx context.Context, id ID) (Job, error) { return s.get(ctx, id, nil) }

// get reads a job; what never changes of it is taken from how it is known, if it is.
func (s *Store) get(ctx context.Context, id ID, known *Job) (Job, error) {
	if !id.Valid() {
		return Job{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout) // callers are promised an answer within two seconds
	defer cancel()
	fields, err := s.client.HGetAll(ctx, recordKey(id)).Result()
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	return s.readable(id, fields, known)
}

// follow reads a job as get does; every change after that is told to watches for changes.
func (s *Store) follow(ctx context.Context, id ID, known *Job) (Job, error) {
	if !id.Valid() {
		return Job{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	reply, err := followScript.Run(ctx, s.client, []string{recordKey(id)}).StringSlice()
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	fields := make(map[string]string, len(reply)/2)
	for pair := range slices.Chunk(reply, 2) {
		fields[pair[0]] = pair[1]
	}
	return s.readable(id, fields, known)
}

// readable decodes a record. One whose retention is over, and that is kept for its webhook alone, is not there.
func (s *Store) readable(id ID, fields map[string]string, known *Job) (Job, error) {
	if len(fields) == 0 {
		return Job{}, ErrNotFound
	}
	j, err := decode(id, fields, known)
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	if j.WebhookURL != "" && j.Status.Terminal() && time.Now().Add(s.clockSkew()).After(j.ExpiresAt) {
		return Job{}, ErrNotFound
	}
	return j, nil
}

// Cancel ends a job that is not terminal yet; a terminal one is left as it is. If rule is set, it ends only a job that
// nobody waits for any more; if it is quiet, nobody is told of the end. Ending.Status is cancelled where this call did it,
// else empty. It returns ErrNotFound where there is no such job.
func (s *Store) Cancel(ctx context.Context, id ID, rule *DropRule, quiet bool) (Ending, error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	grace, started := "", false
	if rule != nil {
		grace, started = strconv.FormatInt(rule.Left.Milliseconds(), 10), rule.Started
	}
	reply, err := cancelScript.Run(ctx, s.client, []string{recordKey(id)},
		s.retention.Milliseconds(), string(id), EventsChannel, grace, started, quiet, CancelledChannel).StringSlice()
	switch {
	case err != nil:
		return Ending{}, fmt.Errorf("cancel job %s: %w", id, err)
	case len(reply) == 1:
		return Ending{}, ErrNotFound
	case len(reply) != 4:
		return Ending{}, fmt.Errorf("cancel job %s: %w", id, errShape)
	case reply[1] == "0":
		return Ending{}, nil
	}
	webhook := reply[2] == "due"
	s.settle(ctx, func(pipe redis.Pipeliner) { s.closed(ctx, pipe, reply[3], id, reply[1], webhook) })
	return Ending{Status: StatusCancelled, Webhook: webhook}, nil
}

// dismiss takes pictures of a cancelled job out of the sets of admission; those that were surely not paid for do not count
// for the day.
func (s *Store) dismiss(ctx context.Context, j Job) {
	paid := map[int]bool{}
	for _, c := range j.Calls {
		paid[c.Image] = paid[c.Image] || c.Billed != imagegen.BilledNo
	}
	s.settle(ctx, func(pipe redis.Pipeliner) {
		for i := range j.Pictures {
			t := j.task(i)
			waitsNoMore(ctx, pipe, t)
			if !paid[i] {
				pipe.ZRem(ctx, todayKey(t.Owner), t.waitingMember())
			}
		}
	})
}

// relist sees to it that the sweeper knows of a job that others have joined: whoever made it may have failed to list it.
func (s *Store) relist(ctx context.Context, j Job) {
	if !j.Status.Terminal() {
		s.settle(ctx, func(pipe redis.Pipeliner) {
			pipe.ZAddNX(ctx, openKey, redis.Z{Score: float64(j.CreatedAt.UnixMilli()), Member: string(j.ID)})
		})
	}
}

// Delete forgets a terminal job.
func (s *Store) Delete(ctx context.Context, owner string, id ID) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	pipe := s.client.Pipeline()
	pipe.Del(ctx, recordKey(id))
	pipe.ZRem(ctx, ownerKey(owner), string(id))
	pipe.ZRem(ctx, openKey, string(id))
	pipe.ZRem(ctx, endedKey, owner+" "+string(id))
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("delete job %s: %w", id, err)
	}
	return nil
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
		return time.Now().Add(min(keptMeanwhile, max(s.retention, keptAtLeast))), true, nil
	}
	return time.UnixMilli(ms), true, nil
}

const (
	// keptMeanwhile is when to ask again about a job that is not finished. One that is kept for less time after its end is
	// asked about sooner, or what goes with it would stay behind for longer than the 20 s that are promised.
	keptMeanwhile = time.Minute
	keptAtLeast   = 10 * time.Second
)

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
	// Look says that no call is to be made now: the answer StartLook stands for StartGo and StartSpent.
	Look bool
}

// Start asks to draw the task's picture in a call named callID, unique to it; from then on it does not count as waiting.
// Asking again with the same callID is harmless and gives the same answer.
func (s *Store) Start(ctx context.Context, t Task, callID, upstream string, o StartOptions) (Start, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	args := []any{
		t.Image, t.Generation, callID, o.MarkTTL.Milliseconds(), o.MaxAttempts, o.RepeatAmbiguous,
		string(t.Job), EventsChannel, upstream, o.Look,
	}
	cmd, err := s.withScript(ctx, startScript, recordKey(t.Job), args, func(pipe redis.Pipeliner) {
		if !o.Look {
			waitsNoMore(ctx, pipe, t)
		}
	})
	if err != nil {
		return Start{}, fmt.Errorf("start task %s: %w", t.ID(), err)
	}
	reply, err := cmd.Slice()
	if err != nil {
		return Start{}, fmt.Errorf("start task %s: %w", t.ID(), err)
	}
	start, err := decodeStart(reply)
	if err != nil {
		return Start{}, fmt.Errorf("start task %s: %w", t.ID(), err)
	}
	return start, nil
}

// withScript runs a script on one record in a pipeline, after the commands that add puts there. Redis may have forgotten
// the script: then it is sent by itself, so add's commands must be harmless on their own.
func (s *Store) withScript(
	ctx context.Context, script *redis.Script, key string, args []any, add func(redis.Pipeliner),
) (*redis.Cmd, error) {
	pipe := s.client.Pipeline()
	add(pipe)
	reply := script.EvalSha(ctx, pipe, []string{key}, args...)
	_, err := pipe.Exec(ctx)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply = script.Eval(ctx, s.client, []string{key}, args...)
		err = reply.Err()
	}
	return reply, err //nolint:wrapcheck // its callers say what was tried
}

// Ending is what came of a change that may have ended a job.
type Ending struct {
	// Status is the job's after it; empty: the record did not want the change, as the job is gone or another result was
	// first.
	Status Status
	// Webhook says that the end is to be told.
	Webhook bool
}

// Finish records the end of a call. Finishing twice is harmless.
func (s *Store) Finish(ctx context.Context, t Task, callID string, f Finish) (Ending, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	payload, err := f.payload()
	if err != nil {
		return Ending{}, fmt.Errorf("finish task %s: %w", t.ID(), err)
	}
	attempt, entry, billed, upstream := 0, "", imagegen.BilledNo, ""
	if f.Call != nil {
		attempt, entry, billed, upstream = f.Call.Attempt, encodeCall(*f.Call), f.Call.Billed, f.Call.Upstream
	}
	keys := []string{recordKey(t.Job)}
	if !s.cluster {
		keys = append(keys, endedKey, openKey)
	}
	reply, err := finishScript.Run(ctx, s.client, keys,
		t.Image, callID, attempt, string(f.Verdict), entry, string(billed), payload,
		s.retention.Milliseconds(), string(t.Job), EventsChannel, upstream, !f.Free).StringSlice()
	if err != nil {
		return Ending{}, fmt.Errorf("finish task %s: %w", t.ID(), err)
	}
	if len(reply) == 1 { // gone or late
		return Ending{}, nil
	}
	if len(reply) != 3 {
		return Ending{}, fmt.Errorf("finish task %s: %w", t.ID(), errShape)
	}
	status, webhook := Status(reply[0]), reply[2] == "due"
	s.settle(ctx, func(pipe redis.Pipeliner) {
		switch f.Verdict {
		case FinishRetry:
			waits(ctx, pipe, t, f.Class, time.Now().Add(s.clockSkew()))
		case FinishFailed:
			if billed == imagegen.BilledNo {
				pipe.ZRem(ctx, todayKey(t.Owner), t.waitingMember())
			}
		case FinishDone, FinishBought, FinishRecopy:
		}
		if status.Terminal() && s.cluster {
			s.closed(ctx, pipe, t.Owner, t.Job, reply[1], webhook)
		}
	})
	return Ending{Status: status, Webhook: webhook}, nil
}

// settle keeps the sets beside the records, as well as it can: the sweeper mends what stays behind.
func (s *Store) settle(ctx context.Context, add func(redis.Pipeliner)) {
	pipe := s.client.Pipeline()
	add(pipe)
	_, _ = pipe.Exec(ctx) // sends nothing where there is nothing
}

// closed adds to a pipeline what follows the end of a job, whose record is kept until expires (unix ms). One whose
// webhook is due stays on the sweeper's list.
func (s *Store) closed(ctx context.Context, pipe redis.Pipeliner, owner string, id ID, expires string, webhook bool) {
	at, _ := strconv.ParseFloat(expires, 64) // the script's own
	pipe.ZAdd(ctx, endedKey, redis.Z{Score: at, Member: owner + " " + string(id)})
	if !webhook { // the last: the sweeper looks at this list
		pipe.ZRem(ctx, openKey, string(id))
	}
}

func (f Finish) payload() (string, error) {
	var v any
	switch f.Verdict {
	case FinishDone, FinishBought:
		v = f.Image
	case FinishFailed:
		v = storedError{Kind: f.Error.Kind, Param: f.Error.Param, Message: f.Error.Message}
	case FinishRetry, FinishRecopy:
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
	reply, err := raiseScript.Run(ctx, s.client, []string{recordKey(t.Job)}, t.Image, strconv.FormatInt(t.Generation, 10)).Slice()
	if err != nil {
		return Task{}, false, fmt.Errorf("raise task %s: %w", t.ID(), err)
	}
	if len(reply) != 2 {
		return Task{}, false, fmt.Errorf("raise task %s: %w", t.ID(), errShape)
	}
	gen, ok1 := reply[0].(int64)
	class, ok2 := reply[1].(string)
	if !ok1 || !ok2 {
		return Task{}, false, fmt.Errorf("raise task %s: %w", t.ID(), errShape)
	}
	if gen == 0 {
		return Task{}, false, nil
	}
	t.Generation = gen
	// It waits again, whatever became of the worker that had it.
	s.settle(ctx, func(pipe redis.Pipeliner) { waits(ctx, pipe, t, Class(class), time.Now().Add(s.clockSkew())) })
	return t, true, nil
}
