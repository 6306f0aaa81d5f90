package job

import "math"

// Class says whether somebody waits for a job's pictures.
type Class string

// The classes.
const (
	ClassInteractive Class = "interactive" // somebody is on the line
	ClassBatch       Class = "batch"
)

// Lane is a line in which pictures wait for a worker. Lanes share an upstream; an earlier one is served more often, and
// none starves.
type Lane string

// The lanes, in order of service.
const (
	LaneExpress Lane = "express"
	LaneFast    Lane = "fast"
	LaneNormal  Lane = "normal"
	LaneSlow    Lane = "slow"
	LaneBulk    Lane = "bulk"
)

// Lanes lists all lanes, the one served most often first.
func Lanes() []Lane { return []Lane{LaneExpress, LaneFast, LaneNormal, LaneSlow, LaneBulk} }

// ahead is how many waiting pictures of a key go into the first lane at most, into the first two, and into the first three.
var ahead = [...]int{1, 4, 16}

// laneOf returns the lane of a key's rank-th waiting picture of the class, counted from 1. The express lane takes one
// picture a key, so that a key with a thousand of them is one ahead of another key's first, not a thousand.
func laneOf(c Class, rank int) Lane {
	lane := 0
	for _, most := range ahead {
		if rank > most {
			lane++
		}
	}
	if c == ClassBatch {
		lane++
	}
	return Lanes()[lane]
}

// sameLanes returns the least and the greatest number of pictures that may wait before n others for these to have the lanes
// that they have where before of them do.
func sameLanes(before, n int) (least, greatest int) {
	greatest = math.MaxInt32
	for _, most := range ahead {
		switch fit := most - before; {
		case fit <= 0:
			least = most
		case fit >= n:
			greatest = min(greatest, most-n)
		default: // so many and no others
			return before, before
		}
	}
	return least, greatest
}
