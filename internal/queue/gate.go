package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Gate says which upstreams are to be spared calls. It is asked by one goroutine.
type Gate interface {
	// Load adds to a pipeline the question how upstreams do; read takes the answer once the pipeline was sent.
	Load(ctx context.Context, pipe redis.Pipeliner) (read func())
	// Allow says which calls to an upstream may be made.
	Allow(upstream string) Allowance
	// Claim asks for the only call, whose name is probe; without one, any number of calls may be made after all.
	Claim(ctx context.Context, upstream string) (probe string, ok bool, err error)
	// GiveBack is called when the only call has ended or was not made.
	GiveBack(ctx context.Context, upstream, probe string)
}

// Allowance says which calls to an upstream may be made.
type Allowance struct {
	// Most is how many there may be at once of those begun after Since: -1 is any number, 0 none until Until.
	Most         int
	Since, Until time.Time
	// Probe says that the next call is the only one, and has to be claimed.
	Probe bool
}

// openGate is a gate that is always open.
type openGate struct{}

func (openGate) Load(context.Context, redis.Pipeliner) func()        { return func() {} }
func (openGate) Allow(string) Allowance                              { return Allowance{Most: -1} }
func (openGate) Claim(context.Context, string) (string, bool, error) { return "", true, nil }
func (openGate) GiveBack(context.Context, string, string)            {}
