package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// storedError is what of a failure is kept in Redis: never its cause.
type storedError struct {
	Kind    imagegen.Kind `json:"kind"`
	Param   string        `json:"param,omitempty"`
	Message string        `json:"message"`
}

// fieldReader reads typed fields of a record and keeps the first mistake.
type fieldReader struct {
	fields map[string]string
	err    error
}

func (r *fieldReader) int(name string) int64 {
	v, ok := r.fields[name]
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("field %s: %w", name, err)
	}
	return n
}

func (r *fieldReader) time(name string) time.Time {
	if ms := r.int(name); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

func (r *fieldReader) json(name string, into any) bool {
	v, ok := r.fields[name]
	if !ok {
		return false
	}
	if err := json.Unmarshal([]byte(v), into); err != nil && r.err == nil {
		r.err = fmt.Errorf("field %s: %w", name, err)
	}
	return true
}

// decode turns a record into a Job. Spec and wish never change: those of a job that is known are not decoded again.
func decode(id ID, fields map[string]string, known *Job) (Job, error) {
	r := &fieldReader{fields: fields}
	j := Job{
		ID: id, Status: Status(fields["status"]), Owner: fields["owner"], Class: Class(fields["class"]),
		CreatedAt: r.time("created"), StartedAt: r.time("started"),
		CompletedAt: r.time("completed"), ExpiresAt: r.time("expires"),
		Version: r.int("v"), Dropped: fields["dropped"] == "1",
	}
	if known != nil {
		j.Spec, j.Wish = known.Spec, known.Wish
	} else if !r.json("spec", &j.Spec) || j.Spec.N() == 0 {
		return Job{}, errors.Join(errors.New("record has no spec"), r.err)
	} else {
		r.json("wish", &j.Wish)
	}
	j.Pictures = make([]Picture, j.Spec.N())
	for i := range j.Pictures {
		j.Pictures[i] = r.picture(i)
		if p := &j.Pictures[i]; j.Status.Terminal() && !p.Final() { // it was paid for, and the job ended before it was copied
			var bought imagegen.Image
			if r.json(pictureField("d", i), &bought) {
				p.Image = &bought
			}
		}
		for a := 1; a <= j.Pictures[i].Attempts; a++ {
			c, err := decodeCall(fields[callField(i, a)])
			if err != nil {
				return Job{}, fmt.Errorf("ledger entry %d of picture %d: %w", a, i, err)
			}
			c.Image, c.Attempt = i, a
			j.Calls = append(j.Calls, c)
		}
	}
	if r.err != nil {
		return Job{}, r.err
	}
	return j, nil
}

// ended returns a job as it is after what was told of its end: see [EventsChannel].
func (j Job) ended(e ending) (Job, error) {
	w := strings.SplitN(e.rest, " ", 8)
	if len(w) != 8 || len(j.Pictures) != 1 {
		return Job{}, fmt.Errorf("read the end of job %s: %d words for %d pictures", j.ID, len(w), len(j.Pictures))
	}
	r := &fieldReader{fields: map[string]string{"v": e.version, "completed": w[0], "expires": w[1], "r0": w[7]}}
	c, err := decodeCall(strings.Join(w[2:7], " "))
	if err != nil {
		return Job{}, fmt.Errorf("read the end of job %s: %w", j.ID, err)
	}
	c.Attempt = 1
	p := j.Pictures[0]
	p.Attempts, p.Image = 1, r.picture(0).Image
	j.Status, j.Pictures, j.Calls = StatusCompleted, []Picture{p}, []Call{c}
	j.Version, j.StartedAt, j.CompletedAt, j.ExpiresAt = r.int("v"), c.StartedAt, r.time("completed"), r.time("expires")
	if r.err != nil || p.Image == nil {
		return Job{}, fmt.Errorf("read the end of job %s: %w", j.ID, errors.Join(r.err, errShape))
	}
	return j, nil
}

func (r *fieldReader) picture(i int) Picture {
	p := Picture{
		Attempts:   int(r.int(pictureField("a", i))),
		Generation: r.int(pictureField("g", i)),
		Queue:      r.fields[pictureField("q", i)],
		Progress:   float64(r.int(pictureField("p", i))) / 100,
	}
	var img imagegen.Image
	if r.json(pictureField("r", i), &img) {
		p.Image = &img
	}
	var e storedError
	if r.json(pictureField("e", i), &e) {
		p.Error = &imagegen.Error{Kind: e.Kind, Param: e.Param, Message: e.Message}
	}
	return p
}

// encodeCall writes a ledger entry as words, so that scripts can take it apart without JSON.
func encodeCall(c Call) string {
	return fmt.Sprintf("%s %d %d %s %s", c.Upstream, c.StartedAt.UnixMilli(), c.Duration.Milliseconds(), c.Outcome, c.Billed)
}

func decodeCall(entry string) (Call, error) {
	w := strings.Fields(entry)
	if len(w) != 5 {
		return Call{}, fmt.Errorf("%d words in place of 5", len(w))
	}
	started, err1 := strconv.ParseInt(w[1], 10, 64)
	took, err2 := strconv.ParseInt(w[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return Call{}, fmt.Errorf("decode ledger entry: %w", err)
	}
	return Call{
		Upstream: w[0], StartedAt: time.UnixMilli(started), Duration: time.Duration(took) * time.Millisecond,
		Outcome: CallOutcome(w[3]), Billed: imagegen.Billed(w[4]),
	}, nil
}

// decodeStart reads startScript's reply.
func decodeStart(reply []any) (Start, error) {
	if len(reply) == 0 {
		return Start{}, errShape
	}
	verdict, ok := reply[0].(string)
	if !ok {
		return Start{}, errShape
	}
	s := Start{Verdict: StartVerdict(verdict)}
	switch s.Verdict {
	case StartGone:
		return s, nil
	case startLate:
		return Start{}, errTooLate
	case StartOwned:
		if len(reply) != 2 {
			return Start{}, errShape
		}
		ms, ok := reply[1].(int64)
		if !ok {
			return Start{}, errShape
		}
		s.OwnedFor = time.Duration(ms) * time.Millisecond
		return s, nil
	case StartGo, StartCopy, StartLook, StartSpent, StartAmbiguous:
		return s, s.decodeRest(reply)
	}
	return Start{}, errShape
}

// decodeRest reads what stands behind the verdict.
func (s *Start) decodeRest(reply []any) error {
	if len(reply) != 9 {
		return errShape
	}
	numbers, texts := [9]int64{}, [9]string{}
	for i, v := range reply {
		switch v := v.(type) {
		case int64:
			numbers[i] = v
		case string:
			texts[i] = v
		default:
			return errShape
		}
	}
	s.CreatedAt, s.Class = time.UnixMilli(numbers[1]), Class(texts[2])
	s.Attempt, s.Counted = int(numbers[5]), int(numbers[6])
	if numbers[7] != 0 {
		s.StartedAt = time.UnixMilli(numbers[7])
	}
	if err := json.Unmarshal([]byte(texts[3]), &s.Spec); err != nil {
		return fmt.Errorf("decode spec: %w", err)
	}
	s.wish = texts[4]
	if s.Verdict != StartCopy {
		return nil
	}
	s.Attempt, s.Copies = 0, int(numbers[5])
	if err := json.Unmarshal([]byte(texts[8]), &s.Bought); err != nil {
		return fmt.Errorf("decode what was bought: %w", err)
	}
	return nil
}
