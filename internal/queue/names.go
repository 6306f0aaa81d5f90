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
)

// asynq's own keys, as its internal/base builds them. The dispatcher and the sweeper read them; a test of this package
// fails when an upgrade changes them.
func pendingKey(queue string) string { return "asynq:{" + queue + "}:pending" }
func pausedKey(queue string) string  { return "asynq:{" + queue + "}:paused" }
func leaseKey(queue string) string   { return "asynq:{" + queue + "}:lease" }
func taskKey(queue, id string) string {
	return "asynq:{" + queue + "}:t:" + id
}

// queueOfPending returns the queue of a pending list's key.
func queueOfPending(key string) (string, bool) {
	name, ok := strings.CutPrefix(key, "asynq:{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}:pending")
}

// queueNames returns the queues of the upstreams, in the order of their lanes.
func queueNames(upstreams []string) []string {
	names := make([]string, 0, len(upstreams)*len(job.Lanes()))
	for _, lane := range job.Lanes() {
		for _, u := range upstreams {
			names = append(names, job.QueueName(u, lane))
		}
	}
	return names
}

// laneWeights says how often a lane is looked at first. asynq draws the order anew for each look, so no lane starves.
var laneWeights = map[job.Lane]int{job.LaneExpress: 20, job.LaneFast: 6, job.LaneNormal: 3, job.LaneSlow: 2, job.LaneBulk: 1}

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
