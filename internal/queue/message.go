package queue

import (
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of the task's id and of its queue in asynq's stored message (internal/proto/asynq.proto: TaskMessage). Tests of
// this package fail when an upgrade changes them.
const (
	messageIDField    = 3
	messageQueueField = 4
)

// inQueue returns asynq's message of a task as one of the same task in another queue.
func inQueue(message []byte, queue string) []byte {
	changed := make([]byte, 0, len(message)+len(queue))
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeField(message)
		if n < 0 {
			return nil // asynq made it
		}
		if number == messageQueueField && kind == protowire.BytesType {
			changed = protowire.AppendTag(changed, number, kind)
			changed = protowire.AppendString(changed, queue)
		} else {
			changed = append(changed, message[:n]...)
		}
		message = message[n:]
	}
	return changed
}

// taskIDOf reads the id of the task in a dequeue's reply.
func taskIDOf(cmd redis.Cmder) (string, bool) {
	reply, ok := cmd.(*redis.Cmd)
	if !ok {
		return "", false
	}
	text, err := reply.Text()
	if err != nil {
		return "", false
	}
	b := []byte(text)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", false
		}
		b = b[n:]
		if number == messageIDField && kind == protowire.BytesType {
			id, n := protowire.ConsumeString(b)
			return id, n >= 0
		}
		n = protowire.ConsumeFieldValue(number, kind, b)
		if n < 0 {
			return "", false
		}
		b = b[n:]
	}
	return "", false
}
