package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
)

const (
	expectAddr    = "is not host:port such as 127.0.0.1:8080 or :8080"
	expectURL     = "not an absolute URL such as https://example.com/path"
	expectOrigin  = "is not an origin such as https://example.com, nor *"
	expectKey     = "holds a character that no HTTP header can carry (only visible ASCII is possible)"
	expectWebhook = "not whsec_ followed by the base64 of 24 to 64 bytes (make one with: echo whsec_$(openssl rand -base64 32))"
)

// checkRanges compares numbers and durations with the bounds in their tags.
func (l *loader) checkRanges(c any) {
	settings := reflect.ValueOf(c).Elem()
	for _, v := range variables(settings.Interface()) {
		if v.min == "" || l.wrong(v.name) {
			continue
		}
		field := settings.FieldByName(v.field)
		if n := field.Int(); n < bound(field, v.min) || n > bound(field, v.max) {
			l.mistake(v.name, fmt.Sprintf("%v is not between %s and %s", field, v.min, v.max))
		}
	}
}

// bound reads a bound from a tag as the field's own type would be read.
func bound(field reflect.Value, s string) int64 {
	if field.Type() == reflect.TypeFor[time.Duration]() {
		d, err := parseDuration(s)
		must(err)
		return int64(d)
	}
	n, err := parseInt(s)
	must(err)
	return n
}

func must(err error) {
	if err != nil {
		panic("config: struct tags: " + err.Error()) // no value can cause it
	}
}

func (l *loader) checkCommon(c *Common) {
	if _, err := redisconn.Parse(c.RedisURL.Value()); err != nil {
		l.mistake("REDIS_URL", err.Error())
	}
	if c.WebhookSecret != "" && !validWebhookSecret(c.WebhookSecret.Value()) {
		l.mistake("WEBHOOK_SECRET", expectWebhook)
	}
	l.oneOf("LOG_LEVEL", &c.LogLevel, "debug", "info", "warn", "error")
	l.oneOf("LOG_FORMAT", &c.LogFormat, "json", "text")
}

func (l *loader) checkAPI(c *API) {
	l.checkCommon(&c.Common)
	l.address("LISTEN_ADDR", c.ListenAddr)
	l.address("ADMIN_ADDR", c.AdminAddr)
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.PublicURL != "" {
		l.httpURL("PUBLIC_URL", c.PublicURL)
	}
	if strings.ContainsAny(c.PublicURL, "?#") {
		l.mistake("PUBLIC_URL", "a base of links has no query and no fragment")
	}
	l.oneOf("CANCEL_ON_DISCONNECT", &c.CancelOnDisconnect, "queued", "always", "never")
	for _, origin := range c.CORSAllowedOrigins {
		if !validOrigin(origin) {
			l.mistake("CORS_ALLOWED_ORIGINS", quote(origin)+" "+expectOrigin)
		}
	}
}

func (l *loader) checkWorker(c *Worker) {
	l.checkCommon(&c.Common)
	if !visibleASCII(c.UpstreamKey.Value()) {
		l.mistake("SD_API_KEY", expectKey)
	}
	l.httpURL("SD_API_URL", c.UpstreamURL)
	l.address("ADMIN_ADDR", c.AdminAddr)
}

// oneOf accepts the words in any case and keeps them in lower case.
func (l *loader) oneOf(name string, value *string, words ...string) {
	*value = strings.ToLower(*value)
	if slices.Contains(words, *value) {
		return
	}
	last := len(words) - 1
	l.mistake(name, fmt.Sprintf("%s is not %s or %s", quote(*value), strings.Join(words[:last], ", "), words[last]))
}

func (l *loader) address(name, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || strings.ContainsAny(host, " /@") {
		l.mistake(name, quote(addr)+" "+expectAddr)
	}
}

// httpURL does not show the value: a URL may hold a password or a token.
func (l *loader) httpURL(name, value string) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		l.mistake(name, expectURL)
	}
}

// validWebhookSecret reports whether s is a secret as Standard Webhooks writes it.
func validWebhookSecret(s string) bool {
	encoded, ok := strings.CutPrefix(s, "whsec_")
	secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
	// The decoder skips line ends, which the receivers' libraries need not do.
	return ok && err == nil && len(secret) >= 24 && len(secret) <= 64 && visibleASCII(s)
}

func validOrigin(origin string) bool {
	if origin == "*" {
		return true
	}
	scheme, host, ok := strings.Cut(origin, "://")
	return ok && scheme != "" && host != "" && !strings.ContainsAny(host, "/?#@ ") && strings.Count(origin, "*") <= 1
}

func visibleASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// loopback reports whether only this machine can reach the address. A name other than localhost may mean anything.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
