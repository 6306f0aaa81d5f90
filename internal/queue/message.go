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

// cutQueue returns what stands in asynq's message of a task before and after the queue's name and its length.
func cutQueue(message []byte) (head, tail []byte, ok bool) {
	for at := 0; at < len(message); {
		number, kind, tag := protowire.ConsumeTag(message[at:])
		n := protowire.ConsumeFieldValue(number, kind, message[at+max(tag, 0):])
		if tag < 0 || n < 0 {
			return nil, nil, false
		}
		if number == messageQueueField {
			return message[:at+tag], message[at+tag+n:], kind == protowire.BytesType
		}
		at += tag + n
	}
	return nil, nil, false
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
