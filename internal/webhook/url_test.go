package webhook_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

// local are the spellings of addresses that no event may go to, each as the host of a URL.
var local = map[string]string{
	"loopback": "127.0.0.1", "another loopback": "127.9.9.9", "loopback in IPv6": "[::1]", "loopback, mapped": "[::ffff:127.0.0.1]",
	"this host": "0.0.0.0", "private": "10.1.2.3", "private too": "192.168.0.1", "metadata of clouds": "169.254.169.254",
	"link-local in IPv6": "[fe80::1]", "private in IPv6": "[fd00::1]", "decimal": "2130706433", "octal": "0177.0.0.1", "hexadecimal": "0x7f000001",
	"short": "127.1", "its name": "localhost", "its name with a point": "LOCALHOST.", "a name below": "x.localhost",
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		raw  string
		want string // a part of the error; empty: none
	}{
		"https":               {"https://example.com/hooks?key=1", ""},
		"http and a port":     {"http://example.com:8080", ""},
		"a public address":    {"http://8.8.8.8/hook", ""},
		"as long as may be":   {"https://example.com/" + strings.Repeat("x", 2048-len("https://example.com/")), ""},
		"too long":            {"https://example.com/" + strings.Repeat("x", 2049-len("https://example.com/")), "at most 2048 bytes"},
		"nothing":             {"", "absolute http or https URL"},
		"a path":              {"/hook", "absolute http or https URL"},
		"no scheme":           {"example.com/hook", "absolute http or https URL"},
		"another scheme":      {"ftp://example.com/hook", "absolute http or https URL"},
		"no host":             {"http:///hook", "absolute http or https URL"},
		"a user":              {"https://me@example.com/", "without user name and password"},
		"a password":          {"https://me:s3cr3t@example.com/", "without user name and password"},
		"a space":             {"https://exam ple.com/", "absolute http or https URL"},
		"a line break":        {"https://example.com/\r\nX-Header: 1", "absolute http or https URL"},
		"a port of too much":  {"https://example.com:65536/", "port from 1 to 65535"},
		"a port that is none": {"https://example.com:0/", "port from 1 to 65535"},
	}
	for name, host := range local {
		cases[name] = struct{ raw, want string }{"http://" + host + ":8080/s3cr3t", "private, loopback or link-local"}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := webhook.CheckURL(netguard.Guard{}, c.raw)
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), "webhook_url must ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error repeats the URL: %v", err)
			}
		})
	}
	for name, host := range local {
		if err := webhook.CheckURL(netguard.Guard{AllowPrivate: true}, "http://"+host+"/hook"); err != nil {
			t.Errorf("%s, allowed: %v", name, err)
		}
	}
}

// What was let through at submission, by an API with other rules or as a name, is refused when it is sent.
func TestSendGoesNowherePrivate(t *testing.T) {
	t.Parallel()
	r := receive(t, http.StatusOK)
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := newSender(t, func(c *webhook.Config) { c.Guard = netguard.Guard{} })
	hosts := map[string]string{"digits of another script": "１２７.０.０.１", "a name that turns out to be loopback": rebound}
	maps.Copy(hosts, local)
	for name, host := range hosts {
		if err := s.Send(t.Context(), "http://"+host+":"+u.Port()+"/hook", message()); !errors.Is(err, netguard.ErrAddress) {
			t.Errorf("%s: got %v, want ErrAddress", name, err)
		}
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("%d deliveries arrived", n)
	}
}

// The name passes at submission, as DNS is not asked there; the address it stands for is looked at when it is dialled.
func TestSendSeesThroughRebinding(t *testing.T) {
	t.Parallel()
	r := receive(t, http.StatusOK)
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	to := "http://" + rebound + ":" + u.Port() + "/hook"
	if err := webhook.CheckURL(netguard.Guard{}, to); err != nil {
		t.Fatalf("the name is refused at submission: %v", err)
	}
	guarded := newSender(t, func(c *webhook.Config) { c.Guard = netguard.Guard{} })
	if err := guarded.Send(t.Context(), to, message()); !errors.Is(err, netguard.ErrAddress) {
		t.Errorf("got %v, want ErrAddress", err)
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("%d deliveries arrived", n)
	}
	// The name does lead to the server.
	if err := newSender(t).Send(t.Context(), to, message()); err != nil || len(r.all()) != 1 {
		t.Errorf("allowed: %v, %d deliveries", err, len(r.all()))
	}
}
