package httpapi

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// preference is what a client says of waiting (RFC 7240, sections 4.1 and 4.3).
type preference struct {
	async bool          // it would rather be answered 202 than wait, or than wait longer
	waits bool          // it says how long it waits before that
	wait  time.Duration // 0: not at all
}

// token is one preference of a list: what is between commas, save those in quoted strings.
var token = regexp.MustCompile(`(?:[^,"]|"(?:[^"\\]|\\.)*"?)+`)

// prefer reads the Prefer headers. What is not understood is left out, as the RFC has it.
func prefer(r *http.Request) (p preference) {
	for _, line := range r.Header.Values("Prefer") {
		for _, text := range token.FindAllString(line, -1) {
			text, _, _ = strings.Cut(text, ";")
			name, value, _ := strings.Cut(text, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.async = true
			case "wait":
				// The first of several counts.
				if d, ok := waitOf(value); ok && !p.waits {
					p.async, p.waits, p.wait = true, true, d
				}
			}
		}
	}
	return p
}

// waitOf reads a number of seconds, which may be quoted; longer than maxPoll is cut to that.
func waitOf(value string) (time.Duration, bool) {
	seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // one that is too large is the largest there is
		return 0, false
	}
	return time.Duration(min(seconds, uint64(maxPoll/time.Second))) * time.Second, true
}

// applied tells the client which preference counts.
func (p preference) applied(w http.ResponseWriter) {
	text := "respond-async"
	if p.waits {
		text = "wait=" + strconv.Itoa(int(p.wait/time.Second))
	}
	w.Header().Set("Preference-Applied", text)
}
