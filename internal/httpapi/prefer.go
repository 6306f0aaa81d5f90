package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preference is what a client says of waiting (RFC 7240, sections 4.1 and 4.3).
type preference struct {
	async bool          // it would rather be answered 202 than wait
	wait  time.Duration // how long it waits before that; 0: not at all
}

// prefer reads the Prefer headers. What is not understood is left out, as the RFC has it.
func prefer(r *http.Request) (p preference) {
	waits := false
	for _, line := range r.Header.Values("Prefer") {
		for token := range strings.SplitSeq(line, ",") {
			token, _, _ = strings.Cut(token, ";")
			name, value, _ := strings.Cut(token, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.async = true
			case "wait":
				// The first of several counts.
				seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
				if err == nil && !waits {
					waits = true
					p.wait = min(time.Duration(seconds)*time.Second, maxPoll)
				}
			}
		}
	}
	p.async = p.async || waits
	return p
}

// applied tells the client which preference counts.
func (p preference) applied(w http.ResponseWriter) {
	text := "respond-async"
	if p.wait > 0 {
		text = "wait=" + strconv.Itoa(int(p.wait/time.Second))
	}
	w.Header().Set("Preference-Applied", text)
}
