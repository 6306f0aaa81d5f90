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

// decode turns a record into a Job.
func decode(id ID, fields map[string]string) (Job, error) {
	r := &fieldReader{fields: fields}
	j := Job{
		ID: id, Status: Status(fields["status"]), Owner: fields["owner"], Class: Class(fields["class"]),
		CreatedAt: r.time("created"), StartedAt: r.time("started"),
		CompletedAt: r.time("completed"), ExpiresAt: r.time("expires"),
		Version: r.int("v"), Dropped: fields["dropped"] == "1",
	}
	if !r.json("spec", &j.Spec) || j.Spec.N() == 0 {
		return Job{}, errors.Join(errors.New("record has no spec"), r.err)
	}
	r.json("wish", &j.Wish)
	j.Pictures = make([]Picture, j.Spec.N())
	for i := range j.Pictures {
		j.Pictures[i] = r.picture(i)
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

func (r *fieldReader) picture(i int) Picture {
	p := Picture{
		Attempts:   int(r.int(pictureField("a", i))),
		Generation: r.int(pictureField("g", i)),
		Queue:      r.fields[pictureField("q", i)],
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
	case StartOwned, StartSpent, StartAmbiguous:
		if len(reply) != 2 {
			return Start{}, errShape
		}
		ms, ok := reply[1].(int64)
		if !ok {
			return Start{}, errShape
		}
		if s.Verdict == StartOwned {
			s.OwnedFor = time.Duration(ms) * time.Millisecond
		} else {
			s.CreatedAt = time.UnixMilli(ms)
		}
		return s, nil
	case StartGo:
		return s, s.decodeGo(reply)
	}
	return Start{}, errShape
}

func (s *Start) decodeGo(reply []any) error {
	if len(reply) != 6 {
		return errShape
	}
	attempt, ok1 := reply[1].(int64)
	started, ok2 := reply[2].(int64)
	created, ok3 := reply[3].(int64)
	class, ok4 := reply[4].(string)
	spec, ok5 := reply[5].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return errShape
	}
	s.Attempt, s.StartedAt, s.CreatedAt, s.Class = int(attempt), time.UnixMilli(started), time.UnixMilli(created), Class(class)
	if err := json.Unmarshal([]byte(spec), &s.Spec); err != nil {
		return fmt.Errorf("decode spec: %w", err)
	}
	return nil
}
