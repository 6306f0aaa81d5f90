// Package worker turns a task into a picture: it asks the job's record for the right to call the upstream, calls it, and
// records what came of it.
//
// The record decides, not the queue: a task that comes again finds its picture drawn, or being drawn, and does nothing.
// What was paid for is recorded however long Redis is away, as long as the process lives. Attempts are the calls in the
// record's ledger.
//
// It also tells clients' servers of jobs that ended, one try for each task. There too the record decides what is due.
package worker
