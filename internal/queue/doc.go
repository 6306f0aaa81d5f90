// Package queue carries picture tasks from the API processes to the workers with asynq, and decides when a worker takes
// the next one.
//
// asynq polls: an idle worker would notice a task after about a second. Here the worker's asynq server talks to Redis
// through a hook ([dispatcher]) that sees every dequeue before it is sent. The hook blocks on a wake list while there is
// nothing to take, so a task starts within a millisecond of its arrival and an idle worker asks Redis for next to
// nothing; and it takes a slot (this process' and, where the upstream is limited over all workers, a leased one in
// Redis) before each task, so that a task never waits outside its queue. Tasks for all free slots are taken in one round
// trip, and handed to asynq as it asks for one after the other. Whoever enqueues, moves delayed tasks or frees
// a contended slot pushes a token on the wake list; one token wakes one worker. Tokens are hints: any may be lost, and
// a worker that hears nothing looks for itself every few seconds.
//
// A call that was taken is this package's, not asynq's: asynq gives a handler up when its 30 s lease cannot be renewed,
// but the handler goes on under [Server], which waits for it, and keeps its slot until it returns.
package queue
