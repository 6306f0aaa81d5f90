package queue

import (
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// The keys of dispatch share a hash tag: scripts touch several of them.
const (
	// wakeKey is a list of tokens, one for each worker to be woken. A token is the name of a queue, or slotToken.
	wakeKey = "zimage:{dispatch}:wake"
	// wakeCap bounds the list: tokens for workers that are busy are worth nothing.
	wakeCap = 256
	// slotToken says that a slot came free.
	slotToken = "slot"
	// slotsKey is a sorted set: slots in use over all workers, by the end of their lease (unix ms).
	slotsKey = "zimage:{dispatch}:slots"
	// wantedKey is a string with a TTL: some worker was refused a slot lately.
	wantedKey = "zimage:{dispatch}:wanted"
	// paceKey is a hash: what each worker process says of its pace, by the process' name.
	paceKey = "zimage:{dispatch}:pace"
)

// asynq's own keys, as its internal/base builds them. The dispatcher and the sweeper read them; a test of this package
// fails when an upgrade changes them.
func pendingKey(queue string) string { return "asynq:{" + queue + "}:pending" }
func pausedKey(queue string) string  { return "asynq:{" + queue + "}:paused" }
func leaseKey(queue string) string   { return "asynq:{" + queue + "}:lease" }
func taskKey(queue, id string) string {
	return "asynq:{" + queue + "}:t:" + id
}

// laneQueues returns the upstreams' queues of each lane, in the order of the lanes.
func laneQueues(upstreams []string) (queues [len(laneWeights)][]string) {
	for i, lane := range job.Lanes() {
		for _, u := range upstreams {
			queues[i] = append(queues[i], job.QueueName(u, lane))
		}
	}
	return queues
}

// lanesBefore returns the queues of the same upstream whose lanes are served before the queue's.
func lanesBefore(queue string) []string {
	for i, lane := range job.Lanes() {
		upstream, ok := strings.CutSuffix(queue, "-"+string(lane))
		if !ok {
			continue
		}
		var before []string
		for _, l := range job.Lanes()[:i] {
			before = append(before, job.QueueName(upstream, l))
		}
		return before
	}
	return nil
}
