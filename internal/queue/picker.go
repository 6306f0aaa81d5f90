package queue

// laneWeights says how often each of job.Lanes() is served while all have something waiting.
var laneWeights = [...]int{20, 6, 3, 2, 1}

// mostCredit is what a lane can save up. An express picture gains as much before its first pick and twice that before its
// second, when no other lane has more than mostCredit and its own weight: it starts with the second pick at the latest.
const mostCredit = 20

// credits is the state of a smooth weighted round robin over the lanes: each pick pays every waiting lane its weight, and
// the richest is served and pays for all.
type credits [len(laneWeights)]int

// pick returns the lane to be served of those that have something waiting, and the credits after that; false where none
// has. A lane that has nothing loses what it had, debts too: a long flood of others does not count against an arrival.
func (c credits) pick(waiting [len(laneWeights)]bool) (lane int, after credits, ok bool) {
	total, richest := 0, 0
	for i, weight := range laneWeights {
		if !waiting[i] {
			c[i] = 0
			continue
		}
		c[i] += weight
		if total == 0 || c[i] > richest {
			lane, richest = i, c[i]
		}
		total += weight
	}
	for i := range c {
		if i == lane {
			c[i] -= total
		}
		c[i] = min(c[i], mostCredit)
	}
	return lane, c, total > 0
}
