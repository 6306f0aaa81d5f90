package admin

import (
	"encoding/json"
	"net/http"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// queuesPath is where the dashboard is mounted: its pages hold the path, so it is made for one place.
const queuesPath = "/queues"

// shownFields of a task's payload may appear on the dashboard. It is a list of what is allowed, as a field that is added
// later may hold a prompt.
var shownFields = []string{"v", "job", "image", "generation"}

// Queues returns the dashboard of the asynq queues, for Config.Queues. It uses the clients that newClient returns and
// closes none: they may all be the same.
func Queues(newClient func() redis.UniversalClient) http.Handler {
	return asynqmon.New(asynqmon.Options{
		RootPath:         queuesPath,
		RedisConnOpt:     connOpt(newClient),
		PayloadFormatter: asynqmon.PayloadFormatterFunc(showPayload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(func(string, []byte) string { return "[not shown]" }),
	})
}

// connOpt hands asynq a client that exists already.
type connOpt func() redis.UniversalClient

// MakeRedisClient returns the client, in the type that asynq asks for.
func (f connOpt) MakeRedisClient() any { return f() }

func showPayload(_ string, payload []byte) string {
	var all, shown map[string]json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil {
		return "[not shown]"
	}
	shown = make(map[string]json.RawMessage, len(shownFields))
	for _, name := range shownFields {
		if value, ok := all[name]; ok {
			shown[name] = value
		}
	}
	b, err := json.Marshal(shown)
	if err != nil {
		return "[not shown]"
	}
	return string(b)
}
