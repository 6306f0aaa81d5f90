package queue

import (
	"strings"

	"github.com/redis/go-redis/v9"
)

// asynq's scripts are recognised by their shape: sent by digest or, after a restart of Redis or SCRIPT FLUSH, by text,
// with so many keys of such names and so many arguments. Tests of this package fail when an upgrade changes them.

// script returns the keys and arguments of a script with so many of each.
func script(cmd redis.Cmder, keys, args int) (k, a []any, ok bool) {
	all := cmd.Args()
	if len(all) != 3+keys+args {
		return nil, nil, false
	}
	name, ok := all[0].(string)
	if !ok || !strings.EqualFold(name, "evalsha") && !strings.EqualFold(name, "eval") {
		return nil, nil, false
	}
	if n, ok := all[2].(int); ok && n != keys {
		return nil, nil, false
	}
	return all[3 : 3+keys], all[3+keys:], true
}

// scriptText returns the text of a script that is sent by its text.
func scriptText(cmd redis.Cmder) (text string, ok bool) {
	args := cmd.Args()
	name, _ := args[0].(string)
	if !strings.EqualFold(name, "eval") {
		return "", false
	}
	text, ok = args[1].(string)
	return text, ok
}

// dequeueOf recognises the script that takes a task from a pending list, its first key.
func dequeueOf(cmd redis.Cmder) (queue string, ok bool) {
	keys, _, ok := script(cmd, 4, 2)
	if !ok {
		return "", false
	}
	return queueOfPending(keys[0])
}

// forward is asynq's question for tasks of a set whose delay is over.
type forward struct {
	set   string
	queue string
	now   int64 // unix seconds
}

// forwardOf recognises the script that moves due tasks from a delayed set to the pending list, its second key.
func forwardOf(cmd redis.Cmder) (f forward, ok bool) {
	keys, args, ok := script(cmd, 2, 4)
	if !ok {
		return forward{}, false
	}
	set, ok1 := keys[0].(string)
	queue, ok2 := queueOfPending(keys[1])
	now, ok3 := args[0].(int64)
	if !ok1 || !ok2 || !ok3 || !strings.HasSuffix(set, ":retry") && !strings.HasSuffix(set, ":scheduled") {
		return forward{}, false
	}
	return forward{set: set, queue: queue, now: now}, true
}

// delay is a task that asynq puts into the set of those that come again.
type delay struct {
	set   string
	queue string
	id    string
	at    int64 // unix seconds
}

// delayOf recognises the script that moves a task which ran to the set of those that come again, its fourth key.
func delayOf(cmd redis.Cmder) (d delay, ok bool) {
	keys, args, ok := script(cmd, 8, 6)
	if !ok {
		return delay{}, false
	}
	set, ok1 := keys[3].(string)
	id, ok2 := args[0].(string)
	at, ok3 := args[2].(int64)
	queue, ok4 := queueOfKey(set, "retry")
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return delay{}, false
	}
	return delay{set: set, queue: queue, id: id, at: at}, true
}

// isDone recognises the script that forgets a task which succeeded. Its first key are the tasks that run.
func isDone(cmd redis.Cmder) bool {
	keys, _, ok := script(cmd, 5, 3)
	if !ok {
		return false
	}
	key, _ := keys[0].(string)
	_, ok = queueOfKey(key, "active")
	return ok
}

// queueOfPending returns the queue of a pending list's key.
func queueOfPending(key any) (string, bool) {
	s, _ := key.(string)
	return queueOfKey(s, "pending")
}

// queueOfKey returns the queue of one of asynq's keys.
func queueOfKey(key, kind string) (string, bool) {
	name, ok := strings.CutPrefix(key, "asynq:{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}:"+kind)
}
