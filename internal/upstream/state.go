package upstream

import (
	"strconv"
	"strings"
	"time"
)

// state is what is known of an upstream, as it was when Redis was last asked. Times are by this process' clock. Its zero
// value is an upstream with which all is well.
type state struct {
	failures int
	since    time.Time            // the first of the failures; zero where there is none
	until    time.Time            // it is spared calls until then, and until a probe succeeds; zero: it is not
	rests    map[string]time.Time // by key: it rests until then, and until a call with it succeeds
	failing  map[string]bool      // by key: calls with it failed, or were refused for what may be its own sake, lately
}

// parseState reads a state's hash; skew is Redis' clock minus ours. What another version wrote is passed over.
func parseState(fields map[string]string, skew time.Duration) (s state) {
	at := func(text string) (time.Time, bool) {
		ms, err := strconv.ParseInt(text, 10, 64)
		return time.UnixMilli(ms).Add(-skew), err == nil
	}
	for name, text := range fields {
		key, isRest := strings.CutPrefix(name, "k:")
		failing, isFailing := strings.CutPrefix(name, "f:")
		if doubted, ok := strings.CutPrefix(name, "d:"); ok {
			failing, isFailing = doubted, true
		}
		switch {
		case name == "f":
			s.failures, _ = strconv.Atoi(text)
		case name == "t":
			s.since, _ = at(text)
		case name == "until":
			s.until, _ = at(text)
		case isRest:
			if until, ok := at(text); ok {
				if s.rests == nil {
					s.rests = make(map[string]time.Time)
				}
				s.rests[key] = until
			}
		case isFailing:
			if s.failing == nil {
				s.failing = make(map[string]bool)
			}
			s.failing[failing] = true
		}
	}
	return s
}

// well reports whether a call with the key that succeeds is no news.
func (s state) well(key string) bool {
	_, rested := s.rests[key]
	return s.failures == 0 && s.until.IsZero() && !rested && !s.failing[key]
}
