// Package job owns the job record: the one truth about what was asked for, what was drawn and what it cost.
//
// A job is a Redis hash, written before any of its tasks can be taken, and changed only by small Lua scripts ([Store]) that
// check the state they leave, so that races have one winner. Scripts move opaque strings: Lua never reads or writes JSON.
//
//	queued ──first call──▶ in_progress ──last picture final──▶ completed (≥ 1 picture) | failed (none)
//
// A terminal state is never left. Each of a job's n pictures is pending until it is done or failed, for good, and is
// carried by one task of the queue. A picture knows the generation of the task that may draw it: raising it (see
// [Sweeper]) turns every older task into a no-op, so a task that was lost can be replaced without asking whether it
// really was. While a picture is being drawn its owner mark, renewed every few seconds, keeps every other worker from
// drawing it too.
//
// Every call to an upstream has its entry in the ledger before anything is sent, so a worker that dies in mid-call
// leaves a trace of what may have been paid for, and attempts are counted there.
//
// [Watcher] tells waiters of changes through one Pub/Sub subscription a process; [Service] is what the HTTP side uses.
package job
