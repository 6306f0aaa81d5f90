package openai

import (
	"io"
	"strconv"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// JobStream writes the changes of a job as server-sent events, each with the job's version as its id, so that a client
// that comes again can say which one it saw last.
type JobStream struct{ events }

// NewJobStream returns a stream on w.
func NewJobStream(w io.Writer) JobStream { return JobStream{events{w}} }

// Tell writes the job as it is.
func (s JobStream) Tell(j job.Job, o job.Outlook) error {
	return s.send(event{id: strconv.FormatInt(j.Version, 10), name: "job", data: NewJob(j, o)})
}
