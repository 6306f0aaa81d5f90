package job

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Task is the queue's errand to draw one picture of a job or, in WebhookQueue, to tell of the job's end.
type Task struct {
	Job        ID
	Image      int   // which of the job's pictures, from 0
	Generation int64 // a task whose generation is not the record's does nothing
	Queue      string
	Owner      string // the job's, by whose digest its waiting pictures are counted; empty: not known
}

// WebhookQueue is the queue of deliveries.
const WebhookQueue = "webhooks"

// WebhookTask returns the errand to tell of the job's end.
func WebhookTask(id ID) Task { return Task{Job: id, Queue: WebhookQueue} }

// IsWebhook reports whether the task is a delivery.
func (t Task) IsWebhook() bool { return t.Queue == WebhookQueue }

// ID names the task. Queueing the same task twice is recognised by it.
func (t Task) ID() string {
	if t.IsWebhook() {
		return string(t.Job) + "/webhook"
	}
	return string(t.Job) + "/" + strconv.Itoa(t.Image) + "/" + strconv.FormatInt(t.Generation, 10)
}

// parseTaskID returns the picture's task of a queue that is named so.
func parseTaskID(queue, name string) (t Task, ok bool) {
	words := strings.Split(name, "/")
	if len(words) != 3 || !ID(words[0]).Valid() {
		return Task{}, false
	}
	image, err1 := strconv.Atoi(words[1])
	generation, err2 := strconv.ParseInt(words[2], 10, 64)
	return Task{Job: ID(words[0]), Image: image, Generation: generation, Queue: queue}, err1 == nil && err2 == nil
}

// QueueName returns the queue of an upstream's lane.
func QueueName(upstream string, lane Lane) string { return upstream + "-" + string(lane) }

// SplitQueue returns the upstream and the lane of a queue; ok is false where it is none of an upstream's.
func SplitQueue(queue string) (upstream string, lane Lane, ok bool) {
	i := strings.LastIndexByte(queue, '-')
	if i < 0 || !slices.Contains(Lanes(), Lane(queue[i+1:])) {
		return "", "", false
	}
	return queue[:i], Lane(queue[i+1:]), true
}

// Upstream returns the upstream that the task waits for; empty for a delivery.
func (t Task) Upstream() string { u, _, _ := SplitQueue(t.Queue); return u }

// Lane returns the lane in which the task waits; empty for a delivery.
func (t Task) Lane() Lane { _, lane, _ := SplitQueue(t.Queue); return lane }

// tasks returns the first tasks of a new job, before which so many pictures of its key and class wait, for an upstream.
func (n New) tasks(id ID, before int, upstream string) []Task {
	tasks := make([]Task, n.Spec.N())
	for i := range tasks {
		tasks[i] = Task{Job: id, Image: i, Queue: QueueName(upstream, laneOf(n.Class, before+i+1)), Owner: n.Owner}
	}
	return tasks
}

// queues returns those of an upstream in which the first tasks of a new job may be.
func (n New) queues(upstream string) []string {
	lanes := lanesOf(n.Class)
	queues := make([]string, len(lanes))
	for i, l := range lanes {
		queues[i] = QueueName(upstream, l)
	}
	return queues
}

// Start says what a worker that took a task may do with it.
type Start struct {
	Verdict StartVerdict
	// OwnedFor is how long the present owner's mark is still good (StartOwned).
	OwnedFor time.Duration
	// The rest is not known where the verdict is StartGone or StartOwned.
	CreatedAt time.Time // of the job
	Class     Class
	Spec      imagegen.Spec
	wish      string // JSON
	// Attempt is the number of this call, from 1; without one, how many there were.
	Attempt int
	// Counted is how many calls to this upstream count as attempts, this one included.
	Counted   int
	StartedAt time.Time // of this call (StartGo)
	// Bought is the picture to be copied, and Copies how often that failed (StartCopy).
	Bought imagegen.Image
	Copies int
}

// BaseURL returns what links to the gateway begin with; empty: not known. Most calls do not need it, so it is decoded here.
func (s *Start) BaseURL() string {
	var w Wish
	_ = json.Unmarshal([]byte(s.wish), &w) // a link to nowhere is what is left where nothing else can be done
	return w.BaseURL
}

// StartVerdict is the record's answer to a worker that wants to draw a picture.
type StartVerdict string

// The answers.
const (
	StartGo        StartVerdict = "go"        // draw it: the ledger has the call
	StartCopy      StartVerdict = "copy"      // copy it: it is drawn, and paid for
	StartLook      StartVerdict = "look"      // it waits to be drawn (StartOptions.Look)
	StartGone      StartVerdict = "gone"      // nothing to do: no such job, finished, or replaced by a newer task
	StartOwned     StartVerdict = "owned"     // somebody is drawing it
	StartSpent     StartVerdict = "spent"     // all calls were made, and none is known to have ended
	StartAmbiguous StartVerdict = "ambiguous" // the last call may have been paid for, and such calls are not repeated

	startLate StartVerdict = "late" // the question came too late
)

// FinishVerdict is what a worker wants recorded of a picture.
type FinishVerdict string

// The verdicts on a call.
const (
	FinishDone   FinishVerdict = "done"
	FinishFailed FinishVerdict = "failed"
	FinishRetry  FinishVerdict = "retry"
	FinishBought FinishVerdict = "bought" // it is drawn, and still this call's to copy
	FinishRecopy FinishVerdict = "recopy" // copying failed, and is to be tried again
)

// Finish is the end of a call.
type Finish struct {
	Verdict FinishVerdict
	Image   *imagegen.Image // FinishDone, FinishBought
	Error   *imagegen.Error // FinishFailed; its Err is not stored
	Class   Class           // FinishRetry: of the job
	// Call is the ledger entry; nil where no call was made (a picture given up before sending).
	Call *Call
	// Free says that the call does not count as an attempt: it failed for a reason that the next one will not meet.
	Free bool
}
