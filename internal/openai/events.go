package openai

import (
	"bytes"
	"fmt"
	"io"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// events writes server-sent events, several of them in one Write.
type events struct{ w io.Writer }

// event is one event; without a name it is data alone. Most clients want no id.
type event struct {
	id   string
	name string
	data any
}

// Waiting writes a comment with what is known of the wait.
// A comment ends in one newline: parsers in released clients take an empty line after it for an event without data.
func (e events) Waiting(o job.Outlook) error {
	line := []byte(": waiting")
	if o.Position > 0 {
		line = fmt.Appendf(nil, ": queued position=%d", o.Position)
	}
	if eta := etaSeconds(o); eta != nil {
		line = fmt.Appendf(line, " eta=%d", *eta)
	}
	if !o.Held.IsZero() {
		line = append(line, " upstream=paused"...)
	}
	return e.write(append(line, '\n'))
}

// Fail writes a failure in place of the picture. It is the last thing on the stream: clients take it for an exception.
func (e events) Fail(_ job.Job, err *imagegen.Error, requestID string) error {
	return e.send(event{data: NewErrorReply(err, requestID)})
}

func (e events) send(all ...event) error {
	b, err := encodeEvents(all)
	if err != nil {
		return err
	}
	return e.write(b)
}

func (e events) write(b []byte) error {
	if _, err := e.w.Write(b); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return nil
}

func encodeEvents(all []event) ([]byte, error) {
	var b bytes.Buffer
	for _, e := range all {
		line, err := Encode(e.data)
		if err != nil {
			return nil, err
		}
		if e.id != "" {
			b.WriteString("id: " + e.id + "\n")
		}
		if e.name != "" {
			b.WriteString("event: " + e.name + "\n")
		}
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}
