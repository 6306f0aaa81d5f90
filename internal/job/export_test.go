package job

import "time"

// SetSkew makes the store believe that Redis' clock is ahead of ours by d.
func (s *Store) SetSkew(d time.Duration) {
	s.skew.Store(d.Milliseconds())
	s.skewKnown.Store(true)
}

// SetPatience makes the sweeper rescue pictures of upstreams without workers after d.
func (s *Sweeper) SetPatience(d time.Duration) { s.patience = d }

// ForgetFresh ends the watches of jobs whose callers have not waited for them, as a while does.
func (s *Service) ForgetFresh() {
	for id, f := range s.fresh.jobs {
		if _, watch := s.fresh.take(id, f.made.Owner); watch != nil {
			watch.Stop()
		}
	}
}

// Decode turns a record into a job.
func Decode(id ID, fields map[string]string) (Job, error) { return decode(id, fields, nil) }
