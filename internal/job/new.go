package job

import "github.com/zimage-gateway/zimage-gateway/internal/imagegen"

// Lane is a class of waiting work. Lanes share the upstream; an earlier one is served more often.
type Lane string

// The lanes, in order of service.
const (
	LaneInteractive Lane = "interactive" // somebody is on the line
	LaneBatch       Lane = "batch"
)

// Lanes lists all lanes, the one served most often first.
func Lanes() []Lane { return []Lane{LaneInteractive, LaneBatch} }

// New is a job to be made.
type New struct {
	Owner string // a digest of the client's key
	Spec  imagegen.Spec
	Lane  Lane
}
