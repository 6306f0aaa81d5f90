package netguard_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"go.uber.org/goleak"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"http://example.com/a.png", "https://example.com:8443/a.png?x=1", "http://8.8.8.8/", "https://[2606:4700::1111]/",
		"http://172.32.0.1/", "http://100.128.0.1/",
	} {
		if _, err := (netguard.Guard{}).Check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "a.png", "/a.png", "//example.com/a.png", "ftp://example.com/", "file:///etc/passwd", "http://", "http:///x",
		"http://user:password@example.com/", "http://user@example.com/", "data:image/png;base64,AA==", "http://[::1", "http://a b/",
	} {
		if _, err := (netguard.Guard{AllowPrivate: true}).Check(bad); err == nil {
			t.Errorf("%q is let through", bad)
		}
	}
	for _, private := range []string{
		"127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
		"100.64.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:1::]",
		"[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd12::1]", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[ff02::1]", "[2001:db8::1]", "[fec0::1]",
	} {
		raw := "http://" + private + ":8080/x"
		if _, err := (netguard.Guard{}).Check(raw); !errors.Is(err, netguard.ErrAddress) {
			t.Errorf("%s: got %v, want ErrAddress", private, err)
		}
		if _, err := (netguard.Guard{AllowPrivate: true}).Check(raw); err != nil {
			t.Errorf("%s, allowed: %v", private, err)
		}
	}
	exempt := netguard.Guard{Exempt: []string{"127.0.0.1:8080", "127.0.0.1:80"}}
	for raw, ok := range map[string]bool{
		"http://127.0.0.1:8080/": true, "http://127.0.0.1/": true, "https://127.0.0.1/": false, "http://127.0.0.1:8081/": false, "http://127.0.0.2:8080/": false,
	} {
		if _, err := exempt.Check(raw); (err == nil) != ok {
			t.Errorf("%s, exempt: %v", raw, err)
		}
	}
}

// A name is looked at when it is dialled, whatever it resolved to before: so is every spelling that only resolvers read.
func TestTransportChecksWhatItDials(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(g netguard.Guard, host string) error {
		transport := g.Transport()
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort(host, u.Port())+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"} {
		if err := ask(netguard.Guard{}, host); !errors.Is(err, netguard.ErrAddress) {
			t.Errorf("%s: got %v, want ErrAddress", host, err)
		}
	}
	for name, g := range map[string]netguard.Guard{"allowed": {AllowPrivate: true}, "exempt": {Exempt: []string{u.Host}}} {
		if err := ask(g, "127.0.0.1"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
