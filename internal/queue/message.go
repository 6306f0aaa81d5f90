package queue

import (
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"
)

// messageIDField is the number of the task id in asynq's stored message (internal/proto/asynq.proto: TaskMessage.id).
const messageIDField = 3

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
