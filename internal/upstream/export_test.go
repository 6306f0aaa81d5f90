package upstream

import "time"

// SetRenewal sets how often a probe says that it is under way.
func (p *Pool) SetRenewal(d time.Duration) { p.renewal = d }
