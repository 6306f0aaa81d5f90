// Package imagestore keeps pictures in a bucket, under names that cannot be guessed, until their job is forgotten. Without
// a bucket, and while it does not take them, they are kept in Redis: one that was paid for is not lost.
//
// It owns the names, the bucket and the list of what to delete when. It refuses every name that [NewName] did not make,
// so nothing a caller says becomes a path. Whoever knows a name may have the picture: who may ask for a job is not known
// here.
//
// Before a picture is written, Redis notes its name, its job and when to look at it again, so a process that dies at any
// point leaves nothing that is never deleted. When an entry is due the [Keeper] is asked for the job: a picture whose job
// is still there is looked at again when that job expires, else the picture is deleted and then its entry. All of this
// may happen twice, so any number of processes sweep side by side without a leader. A clock that is wrong makes a picture
// stay longer or be looked at too early, never go while its job is there.
package imagestore
