package job

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Delivery is one try to tell a client's server of a job's end.
type Delivery struct {
	Job Job    // as it ended
	URL string // where the client wants to be told
	Try int    // from 1
}

// BeginDelivery counts a try to tell of a job's end. due is false where nothing is to be told (any more): it was told,
// given up, or forgotten with its job.
func (s *Store) BeginDelivery(ctx context.Context, id ID) (d Delivery, due bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	try, err := tryScript.Run(ctx, s.client, []string{recordKey(id)}).Int()
	if err != nil {
		return Delivery{}, false, fmt.Errorf("begin delivery of job %s: %w", id, err)
	}
	if try == 0 {
		return Delivery{}, false, nil
	}
	fields, err := s.client.HGetAll(ctx, recordKey(id)).Result()
	if err != nil {
		return Delivery{}, false, fmt.Errorf("begin delivery of job %s: %w", id, err)
	}
	if len(fields) == 0 { // deleted in between
		return Delivery{}, false, nil
	}
	// Not readable(): a delivery outlives the retention.
	j, err := decode(id, fields, nil)
	if err != nil {
		return Delivery{}, false, fmt.Errorf("begin delivery of job %s: %w", id, err)
	}
	return Delivery{Job: j, URL: j.WebhookURL, Try: try}, true, nil
}

// EndDelivery settles a job's webhook for good.
func (s *Store) EndDelivery(ctx context.Context, id ID, delivered bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	state := "dead"
	if delivered {
		state = "sent"
	}
	if err := settleScript.Run(ctx, s.client, []string{recordKey(id)}, state).Err(); err != nil {
		return fmt.Errorf("end delivery of job %s: %w", id, err)
	}
	s.settle(ctx, func(pipe redis.Pipeliner) { pipe.ZRem(ctx, openKey, string(id)) })
	return nil
}

// tryScript counts a try of a webhook that is due.
//
//	KEYS[1] record
//	returns the number of the try, from 1; 0 where none is due
var tryScript = redis.NewScript(`
if redis.call("HGET", KEYS[1], "hook") ~= "due" then return 0 end
return redis.call("HINCRBY", KEYS[1], "ht", 1)
`)

// settleScript ends a webhook that is due, and the longer life of its record.
//
//	KEYS[1] record
//	ARGV    sent or dead
//	returns 1, or 0 where none is due
var settleScript = redis.NewScript(`
local r = redis.call("HMGET", KEYS[1], "hook", "expires")
if r[1] ~= "due" then return 0 end
redis.call("HSET", KEYS[1], "hook", ARGV[1])
redis.call("PEXPIREAT", KEYS[1], r[2])
return 1
`)
