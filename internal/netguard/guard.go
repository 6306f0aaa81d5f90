package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

// ErrAddress says that an address may not be dialled.
var ErrAddress = errors.New("the address is not a public one")

// Guard is a set of rules. Its zero value allows public addresses alone.
type Guard struct {
	// AllowPrivate allows every address.
	AllowPrivate bool
	// Exempt are addresses, host:port as they are dialled, that may be private.
	Exempt []string
}

const (
	dialTimeout   = 10 * time.Second
	headerTimeout = 30 * time.Second
	maxHeader     = 64 << 10
)

// Check parses an absolute http(s) URL without user information, and refuses one whose host is an address that may not
// be dialled. It asks no DNS: [Guard.Transport] looks at what a name stands for.
func (g Guard) Check(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, errors.New("not an absolute http(s) URL without user name and password")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if err := g.allow(publicHost(u.Hostname()), net.JoinHostPort(u.Hostname(), port)); err != nil {
		return nil, err
	}
	return u, nil
}

// Transport returns a transport that connects to allowed addresses only. It uses no proxy: a proxy would resolve names
// itself.
func (g Guard) Transport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, ControlContext: g.control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true, // pictures are compressed as they are, and an answer must not grow on arrival
	}
}

// control is called with the address about to be connected to.
func (g Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrAddress, address)
	}
	return g.allow(public(to.Addr()), address)
}

func (g Guard) allow(public bool, hostPort string) error {
	if public || g.AllowPrivate || slices.Contains(g.Exempt, hostPort) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrAddress, hostPort)
}
