package adapter

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxMessage  = 300 // characters of the upstream's own words for a client
	maxOperator = 500 // and for the log
)

// scrubber makes texts of an untrusted upstream fit to be shown.
type scrubber struct{ keys *strings.Replacer }

// newScrubber takes out the secrets, in every form in which a server may repeat them.
func newScrubber(secrets []string) scrubber {
	var pairs []string
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(strconv.Quote(secret), `"`),
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
		} {
			pairs = append(pairs, form, "[key]")
		}
	}
	return scrubber{keys: strings.NewReplacer(pairs...)}
}

// key takes our own key out of s, wherever and however long it is.
func (s scrubber) key(text string) string { return s.keys.Replace(text) }

// line makes what the upstream said fit to work with: one line of bounded length without our key. The key goes before
// anything is cut off, or half of it might stay; and once more when what cannot be seen is gone, which may have split it.
func (s scrubber) line(text string) string { return clip(s.key(oneLine(s.key(text)))) }

// message makes a line fit for clients: at most 300 characters, without keys, URLs, mail, host and IP addresses. It
// prefers to take out too much: what is lost is part of a sentence, what is left in can be an address of somebody's
// network.
func message(line string) string {
	for _, rule := range rules {
		line = rule.re.ReplaceAllStringFunc(line, func(match string) string {
			if rule.spare != nil && rule.spare(match) {
				return match
			}
			return rule.with
		})
	}
	return cut(strings.TrimSpace(line), maxMessage)
}

// rules are applied in turn: the later ones would leave pieces of what the earlier ones take whole.
var rules = []struct {
	re    *regexp.Regexp
	with  string
	spare func(match string) bool
}{
	{re: regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://[^\s"'<>，。；、）】]+`), with: "[url]"},
	{re: regexp.MustCompile(`(?i)\bbearer\s+[!-~]+|\bbasic\s+[a-z0-9+/]{16,}=*`), with: "[key]"},
	{re: regexp.MustCompile(`(?i)\b(?:(?:api[-_ ]?)?key|token|secret|password|authorization)["']?\s*[=:]\s*["']?[^\s"',;，。]{4,}`), with: "[key]"},
	{re: regexp.MustCompile(`(?i)\b(?:sk|pk|rk|ak|key|tok|token|whsec|gh[a-z]|xox[a-z])[-_][a-z0-9_-]{6,}`), with: "[key]"},
	{re: regexp.MustCompile(`\b(?:eyJ|AKIA|AIza)[A-Za-z0-9_.-]{8,}`), with: "[key]"},
	{re: regexp.MustCompile(`[A-Za-z0-9+/=_-]{20,}`), with: "[key]", spare: isWord},
	{re: regexp.MustCompile(`[^\s@<>"']+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`), with: "[address]"},
	{re: regexp.MustCompile(`\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?\]?`), with: "[address]", spare: isNoIPv6},
	{re: regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}` + portAndPath), with: "[address]"},
	// Host names: three labels or more; two of which the last is a two-letter or a common domain; two with a port; and
	// those of one label that a port or their name gives away. A field's name such as prompt.text stays.
	{re: regexp.MustCompile(`(?i)\b[a-z0-9_-]+(?:\.[a-z0-9_-]+){2,}` + portAndPath), with: "[address]"},
	{re: regexp.MustCompile(`(?i)\b[a-z0-9_-]+\.(?:[a-z]{2}|` + domains + `)\b` + portAndPath), with: "[address]"},
	{re: regexp.MustCompile(`(?i)\b[a-z0-9_-]+\.[a-z0-9_-]+:\d{1,5}\b(?:/[!-~]*)?`), with: "[address]"},
	{re: regexp.MustCompile(`(?i)\blocalhost\b` + portAndPath), with: "[address]"},
	{re: regexp.MustCompile(`(?i)\b[a-z][a-z0-9-]*:\d{2,5}\b(?:/[!-~]*)?`), with: "[address]", spare: isField},
}

const (
	portAndPath = `(?::\d{1,5})?(?:/[!-~]*)?`
	domains     = `com|net|org|info|biz|app|dev|cloud|site|online|tech|shop|art|xyz|top|club|vip|pro|` +
		`local|lan|home|corp|intra|internal|localdomain|localhost|svc|arpa|test|example|invalid`
)

// isWord spares a long word, which a key without a digit is not told from below 32 characters.
func isWord(match string) bool {
	return len(match) < 32 && !strings.ContainsAny(match, "0123456789")
}

func isNoIPv6(match string) bool {
	_, err := netip.ParseAddr(strings.Trim(match, "[]"))
	return err != nil
}

// isField spares "width:4096" and "line:12", which look like a host with a port.
func isField(match string) bool {
	name, port, _ := strings.Cut(strings.ToLower(match), ":")
	if strings.ContainsAny(name, "0123456789-") {
		return false
	}
	fields := []string{"width", "height", "size", "seed", "steps", "index", "max", "min", "limit", "length", "value", "code"}
	return len(port) < 4 || slices.Contains(fields, name)
}

// oneLine drops what cannot be seen (a key must not hide behind zero-width characters) and makes every run of space one.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		default:
			return r
		}
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// clip bounds the work that a text of a megabyte makes. What it cuts off ends where a word ends, so that no half of a key
// or an address is left over.
func clip(s string) string {
	const most = 8 << 10
	if len(s) <= most {
		return s
	}
	return strings.TrimRightFunc(strings.ToValidUTF8(s[:most], ""), func(r rune) bool { return r > ' ' && r <= '~' })
}

// cut shortens s to n characters, the ellipsis included.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
