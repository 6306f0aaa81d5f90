package adapter

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxReplyHeader     = 64 << 10
	maxIdleConnections = 10_000 // the most calls that a worker may make at once: none of them dials again while it is busy
	// idleConnTimeout is short because a kept connection that the server closes just as a call goes out makes that
	// call's outcome unknown. Common servers keep theirs for 60 s or more.
	idleConnTimeout = 30 * time.Second
	userAgent       = "zimage-gateway"
)

// ShortIdle is how long connections are kept to servers written in Python: uvicorn closes its own after 5 s.
const ShortIdle = 3 * time.Second

// NewTransport returns the transport that a Caller makes for itself, for those that change or wrap it.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    maxIdleConnections,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: maxReplyHeader,
		DisableCompression:     true, // replies are a few hundred bytes, or a picture, which is compressed already
		// Calls are silent for minutes and share one HTTP/2 connection: pings find out when it has died.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// ParseURL checks the address of an upstream. The error does not repeat it.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("the URL must be an absolute http or https one")
	case u.User != nil:
		return nil, errors.New("the URL must hold no user name or password")
	}
	return u, nil
}

// CheckKey accepts what can go into a header as it is. The error does not repeat the key.
func CheckKey(key string) error {
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the API key must be visible ASCII characters without spaces")
	}
	return nil
}
