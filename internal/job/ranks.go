package job

import "sync"

// maxRanks bounds how many keys and classes are remembered.
const maxRanks = 4096

// ranks are how many pictures of each key and class waited when a job was last made here: likely as many as do now.
type ranks struct {
	mu sync.Mutex
	of map[line]int // none waited where there is no entry
}

type line struct {
	owner string
	class Class
}

func newRanks() *ranks { return &ranks{of: make(map[line]int)} }

func (r *ranks) last(n New) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[line{n.Owner, n.Class}]
}

func (r *ranks) saw(n New, waiting int) {
	l := line{n.Owner, n.Class}
	r.mu.Lock()
	defer r.mu.Unlock()
	if waiting == 0 {
		delete(r.of, l)
		return
	}
	if len(r.of) >= maxRanks {
		clear(r.of)
	}
	r.of[l] = waiting
}
