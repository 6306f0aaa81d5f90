package job

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

// laneOf returns the lane of a key's rank-th waiting picture of the class, counted from 1. The express lane takes one
// picture a key, so that a key with a thousand of them is one ahead of another key's first, not a thousand.
func laneOf(c Class, rank int) Lane {
	lane := 0
	for _, most := range []int{1, 4, 16} {
		if rank > most {
			lane++
		}
	}
	if c == ClassBatch {
		lane++
	}
	return Lanes()[lane]
}
