package queue

import (
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// The keys of dispatch share a hash tag: scripts touch several of them.
const (
	// wakeKey is a list of tokens, one for each worker to be woken, all of them slotToken: any upstream may have a slot.
	wakeKey = "zimage:{dispatch}:wake"
	// wakeCap bounds a list: tokens for workers that are busy are worth nothing.
	wakeCap = 256
	// slotToken says that a slot came free, or that a pause is over. Other tokens are names of queues.
	slotToken = "slot"
	// slotsKey is a sorted set: slots in use over all workers, by the end of their lease (unix ms).
	slotsKey = "zimage:{dispatch}:slots"
	// wantedKey is a string with a TTL: some worker was refused a slot lately.
	wantedKey = "zimage:{dispatch}:wanted"
	// paceKey is a hash: what each worker process says of its pace, by the process' name.
	paceKey = "zimage:{dispatch}:pace"
)

// The same for one upstream. wakeOfKey is also there for webhooks: only workers that take tasks of a kind listen for them.
func wakeOfKey(upstream string) string   { return wakeKey + ":" + upstream }
func slotsOfKey(upstream string) string  { return slotsKey + ":" + upstream }
func wantedOfKey(upstream string) string { return wantedKey + ":" + upstream }

// upstreamOf returns the upstream of a lane's queue; the queue itself where it is none.
func upstreamOf(queue string) string {
	if u, _, ok := job.SplitQueue(queue); ok {
		return u
	}
	return queue
}

// asynq's own keys, as its internal/base builds them. The dispatcher and the sweeper read them; a test of this package
// fails when an upgrade changes them.
func queuePrefix(queue string) string { return "asynq:{" + queue + "}:" }
func pendingKey(queue string) string  { return queuePrefix(queue) + "pending" }
func pausedKey(queue string) string   { return queuePrefix(queue) + "paused" }
func activeKey(queue string) string   { return queuePrefix(queue) + "active" }
func leaseKey(queue string) string    { return queuePrefix(queue) + "lease" }
func taskKey(queue, id string) string {
	return queuePrefix(queue) + "t:" + id
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
func lanesBefore(queue string) (before []string) {
	upstream, lane, ok := job.SplitQueue(queue)
	if !ok {
		return nil
	}
	for _, l := range job.Lanes() {
		if l == lane {
			break
		}
		before = append(before, job.QueueName(upstream, l))
	}
	return before
}
