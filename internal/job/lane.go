package job

import "fmt"

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

// ahead is how many waiting pictures of a key go into the first of their lanes at most, into the first two, and into the first
// three; the rest go into the fourth.
var ahead = [...]int{1, 4, 16}

// luaLane defines lane(): which of their lanes, from 0, is that of a key's picture before which so many wait.
var luaLane = fmt.Sprintf(`
local function lane(before) return before < %d and 0 or before < %d and 1 or before < %d and 2 or 3 end
`, ahead[0], ahead[1], ahead[2])

// lanesOf returns the lanes of a class' pictures.
func lanesOf(c Class) []Lane {
	if c == ClassBatch {
		return Lanes()[1:]
	}
	return Lanes()[:len(ahead)+1]
}

// laneOf returns the lane of a key's rank-th waiting picture of the class, counted from 1. The express lane takes one
// picture a key, so that a key with a thousand of them is one ahead of another key's first, not a thousand.
func laneOf(c Class, rank int) Lane {
	lane := 0
	for _, most := range ahead {
		if rank > most {
			lane++
		}
	}
	return lanesOf(c)[lane]
}
