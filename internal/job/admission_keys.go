package job

import "strconv"

// The keys of admission share a hash tag: one script looks at several of them.

// waitingKey is a sorted set of all pictures that wait, delayed retries included, by the time they were admitted (unix
// ms). A member is "<owner>/<job id>/<image>". Members of pictures that wait no more are taken out by the sweeper.
const waitingKey = "zimage:{admission}:waiting"

// waitingOfKey is the same for the pictures of one client key. The score is negative for those of batch jobs, so that
// either class can be counted.
func waitingOfKey(owner string) string { return waitingKey + ":" + owner }

// todayKey is a sorted set of the pictures that a client key was granted today (UTC), for keys with images_per_day. A
// picture that failed is taken out again.
func todayKey(owner string) string { return "zimage:{admission}:today:" + owner }

// claimKey is a string with a TTL: "<job id> <digest of the body> <since, unix ms>", the job that a request stands for.
func claimKey(claim string) string { return "zimage:{admission}:claim:" + claim }

func (t Task) waitingMember() string { return waitingMember(t.Owner, t.Job, t.Image) }

func waitingMember(owner string, id ID, image int) string {
	return waitingPrefix(owner, id) + strconv.Itoa(image)
}

func waitingPrefix(owner string, id ID) string { return owner + "/" + string(id) + "/" }
