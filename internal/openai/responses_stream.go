package openai

import (
	"io"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// ResponseStream writes a response as server-sent events: Start, any number of Waiting and Beat, then Finish, or Fail for
// a job without pictures, or Text in place of all of them. Every event has its type as its name and counts up.
type ResponseStream struct {
	events
	next  int // sequence number
	after int // events up to this number were seen by the client
}

// responseEvent is any of the events; fields that one does not have are absent.
type responseEvent struct {
	Type           string      `json:"type"`
	SequenceNumber int         `json:"sequence_number"`
	Response       *Response   `json:"response,omitempty"`
	OutputIndex    *int        `json:"output_index,omitempty"`
	ItemID         string      `json:"item_id,omitempty"`
	Item           *OutputItem `json:"item,omitempty"`
	ContentIndex   *int        `json:"content_index,omitempty"`
	Part           *OutputText `json:"part,omitempty"`
	Delta          *string     `json:"delta,omitempty"`
	Text           *string     `json:"text,omitempty"`
	Logprobs       *[]struct{} `json:"logprobs,omitempty"`
	Code           string      `json:"code,omitempty"`
	Message        string      `json:"message,omitempty"`
}

// NewResponseStream returns a stream on w. A client that comes back to a stream names the last event it saw: those up to
// after are not written again; -1 for none.
func NewResponseStream(w io.Writer, after int) *ResponseStream {
	return &ResponseStream{events: events{w}, after: after}
}

// Start writes that the response exists and a picture is being drawn.
func (s *ResponseStream) Start(j job.Job) error {
	begun := j
	if begun.Status.Terminal() {
		begun.Status, begun.Pictures = job.StatusInProgress, nil
	}
	created := NewResponse(begun, nil)
	created.CompletedAt = nil
	created.Status = string(job.StatusQueued)
	if !j.Background {
		created.Status = string(job.StatusInProgress)
	}
	running := created
	running.Status = string(job.StatusInProgress)
	return s.emit(append([]responseEvent{
		{Type: "response.created", Response: &created},
		{Type: "response.in_progress", Response: &running},
	}, s.draws(j, 0)...))
}

// draws are the events of picture i up to its end.
func (s *ResponseStream) draws(j job.Job, i int) []responseEvent {
	item := imageItem(j, i)
	return []responseEvent{
		{Type: "response.output_item.added", OutputIndex: &i, Item: &item},
		{Type: "response.image_generation_call.in_progress", OutputIndex: &i, ItemID: item.ID},
		{Type: "response.image_generation_call.generating", OutputIndex: &i, ItemID: item.ID},
	}
}

// Beat writes nothing: comments are the one sign of life that every client of this stream bears.
func (s *ResponseStream) Beat() error { return nil }

// Finish writes the pictures of a finished job that has some, and the end. contents are as for [NewResponse].
func (s *ResponseStream) Finish(j job.Job, contents []*Content) error {
	r := NewResponse(j, contents)
	var all []responseEvent
	if len(r.Output) == 1 { // no picture's bytes: what was announced at the start does not come
		item := imageItem(j, 0)
		item.Status = string(job.StatusFailed)
		all = append(all, responseEvent{Type: "response.output_item.done", OutputIndex: new(0), Item: &item})
	}
	for i := range r.Output {
		item := &r.Output[i]
		if item.Type == "message" {
			all = append(all, says(max(i, 1), item)...)
			continue
		}
		if i > 0 { // the first was announced at the start
			all = append(all, s.draws(j, i)...)
		}
		all = append(all,
			responseEvent{Type: "response.image_generation_call.completed", OutputIndex: &i, ItemID: item.ID},
			responseEvent{Type: "response.output_item.done", OutputIndex: &i, Item: item})
	}
	return s.emit(append(all, responseEvent{Type: "response.completed", Response: &r}))
}

// says are the events of a message, whose text comes whole.
func says(i int, item *OutputItem) []responseEvent {
	part := (*item.Content)[0]
	empty, begun, none, nothing := newOutputText(""), *item, 0, []struct{}{}
	begun.Status, begun.Content = string(job.StatusInProgress), &[]OutputText{}
	return []responseEvent{
		{Type: "response.output_item.added", OutputIndex: &i, Item: &begun},
		{Type: "response.content_part.added", OutputIndex: &i, ItemID: item.ID, ContentIndex: &none, Part: &empty},
		{Type: "response.output_text.delta", OutputIndex: &i, ItemID: item.ID, ContentIndex: &none, Delta: &part.Text, Logprobs: &nothing},
		{Type: "response.output_text.done", OutputIndex: &i, ItemID: item.ID, ContentIndex: &none, Text: &part.Text, Logprobs: &nothing},
		{Type: "response.content_part.done", OutputIndex: &i, ItemID: item.ID, ContentIndex: &none, Part: &part},
		{Type: "response.output_item.done", OutputIndex: &i, Item: item},
	}
}

// Text writes an answer that is no picture, whole.
func (s *ResponseStream) Text(r Response) error {
	created := r
	created.Status, created.Output, created.Usage, created.CompletedAt = string(job.StatusInProgress), []OutputItem{}, nil, nil
	all := []responseEvent{{Type: "response.created", Response: &created}, {Type: "response.in_progress", Response: &created}}
	for i := range r.Output {
		all = append(all, says(i, &r.Output[i])...)
	}
	return s.emit(append(all, responseEvent{Type: "response.completed", Response: &r}))
}

// Fail writes what went wrong, as the last event: the response failed or, where its job goes on, its stream alone did.
func (s *ResponseStream) Fail(j job.Job, e *imagegen.Error, requestID string) error {
	o := NewErrorReply(e, requestID).Error
	if !j.Status.Terminal() {
		return s.emit([]responseEvent{{Type: "error", Code: o.Code, Message: o.Message}})
	}
	r := NewResponse(j, nil)
	if r.Status = string(job.StatusFailed); j.Status == job.StatusCancelled {
		r.Status = string(j.Status)
	}
	r.Error = &ResponseError{Code: o.Code, Message: o.Message, Type: o.Type}
	r.Output, r.Usage = []OutputItem{}, nil
	return s.emit([]responseEvent{{Type: "response.failed", Response: &r}})
}

func (s *ResponseStream) emit(all []responseEvent) error {
	var unseen []event
	for _, e := range all {
		e.SequenceNumber = s.next
		s.next++
		if e.SequenceNumber > s.after {
			unseen = append(unseen, event{name: e.Type, data: e})
		}
	}
	if len(unseen) == 0 {
		return nil
	}
	return s.send(unseen...)
}
