package job

import (
	"crypto/rand"
	"regexp"
	"strconv"
	"strings"
)

// EventsChannel is the Pub/Sub channel of changes: of every job's end, and of all that happens to those that are followed.
// A message is "<job id> <version> <status>". The end of a job whose only
// picture came with its first call has " <completed ms> <expires ms> <ledger entry> <picture, JSON>" behind it: who made the
// job, and waits for it, need not read the record.
const EventsChannel = "zimage:events"

// CancelledChannel is the Pub/Sub channel of jobs that were cancelled, with the same messages: workers hear of nothing else.
const CancelledChannel = "zimage:events:cancelled"

const (
	// openKey is a sorted set of the ids of unfinished jobs by the time they were made (unix ms). It may hold ids whose
	// record was never written or is terminal already: the sweeper removes them.
	openKey = "zimage:jobs:open"
	// endedKey is a sorted set of "<owner> <id>" of finished jobs by when their records expire (unix ms), so that their
	// owners' lists can be cleaned then.
	endedKey = "zimage:jobs:ended"
	// sweeperKey is a string with a TTL: the id of the process that sweeps.
	sweeperKey = "zimage:sweeper"
)

// recordKey is a hash: the job's record. It has no TTL until the job is terminal, then the retention.
//
//	status, owner, class, spec (JSON), wish (JSON), n, v (version), created, started, completed, expires (unix ms)
//	final, done             how many pictures are final, how many of them were drawn
//	s<i>                    picture i: pending, done or failed
//	g<i>, q<i>              generation and queue of its task
//	o<i>, u<i>              owner mark: id of the call under way, valid until (unix ms)
//	a<i>, x<i>              calls made; what is known of the last one's price: open, yes, no or unknown
//	n<i>.<upstream>         calls to the upstream that count as attempts
//	d<i>, y<i>              what was bought and is still to be copied (JSON); tries to copy it
//	p<i>                    how much of it is drawn, in parts of a hundred
//	c<i>.<a>                ledger entry of call a: "<upstream> <started ms> <duration ms> <outcome> <billed>"
//	r<i>, e<i>              the picture, or why there is none (JSON)
//	w:<token>               a caller on the line, until when at most (unix ms)
//	keep, left, dropped     somebody was promised that the job goes on (1); since when nobody is on the line (unix ms);
//	                        the job was cancelled for that (1)
//	hook, ht                the webhook: wanted, due, sent or dead; how often it was tried
//	followed                somebody is told of every change (1), not of the end alone
//
// What has its first value is not written: n is 1 then, s<i> pending, and other numbers but v are 0.
//
// Until a due webhook is settled the record outlives its retention, unread.
//
// The braces make all keys of one job live in one slot of a Redis Cluster.
func recordKey(id ID) string { return "zimage:job:{" + string(id) + "}" }

// ownerKey is a sorted set of the ids of a key's jobs by the time they were made (unix ms).
func ownerKey(owner string) string { return "zimage:jobs:of:" + owner }

func pictureField(name string, image int) string { return name + strconv.Itoa(image) }

func callField(image, attempt int) string {
	return "c" + strconv.Itoa(image) + "." + strconv.Itoa(attempt)
}

var idPattern = regexp.MustCompile(`^job_[a-z2-7]{26}$`)

// NewID makes an id from 130 random bits.
func NewID() ID { return ID("job_" + strings.ToLower(rand.Text())) }

// Valid reports whether the id has the form that [NewID] makes. Ids come from outside: anything else is never looked up.
func (id ID) Valid() bool { return idPattern.MatchString(string(id)) }
