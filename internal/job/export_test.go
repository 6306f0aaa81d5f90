package job

import "time"

// SetSkew makes the store believe that Redis' clock is ahead of ours by d.
func (s *Store) SetSkew(d time.Duration) {
	s.skew.Store(d.Milliseconds())
	s.skewKnown.Store(true)
}

// SetPatience makes the sweeper rescue pictures of upstreams without workers after d.
func (s *Sweeper) SetPatience(d time.Duration) { s.patience = d }

// Decode turns a record into a job.
func Decode(id ID, fields map[string]string) (Job, error) { return decode(id, fields) }
