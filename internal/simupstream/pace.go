package simupstream

import (
	"sync"
	"time"
)

// pace knows the pictures of the web UI's protocol that are under way, for its progress.
type pace struct {
	mu      sync.Mutex
	drawing []*stretch // oldest first
}

// stretch is the time that a picture takes.
type stretch struct {
	begin time.Time
	takes time.Duration
}

// begin notes a call that takes so long; the returned function is to be called at its end.
func (p *pace) begin(path string, now time.Time, takes time.Duration) (end func()) {
	if path != Txt2ImgPath && path != Img2ImgPath {
		return func() {}
	}
	own := &stretch{begin: now, takes: takes}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawing = append(p.drawing, own)
	return func() { p.end(own) }
}

func (p *pace) end(own *stretch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.drawing {
		if s == own {
			p.drawing = append(p.drawing[:i:i], p.drawing[i+1:]...)
			return
		}
	}
}

// progress returns how much of the oldest picture is done, from 0.01 to 1, and how long it takes from now; 0 where there is
// none.
func (p *pace) progress(now time.Time) (done float64, left time.Duration, drawing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.drawing) == 0 {
		return 0, 0, false
	}
	const least = 0.01 // as the real ones begin with
	s := p.drawing[0]
	spent := now.Sub(s.begin)
	if spent >= s.takes {
		return 1, 0, true
	}
	return max(least, float64(spent)/float64(s.takes)), s.takes - spent, true
}
