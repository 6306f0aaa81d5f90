package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
)

func TestLandingPage(t *testing.T) {
	t.Parallel()
	w := send(t, newServer(t, &fakeJobs{}), "GET", "/", "", "Authorization", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	page := w.Body.String()
	for _, want := range []string{"v1.2.3", "curl http://example.com/v1/chat/completions", "Z-Image", "$GATEWAY_API_KEY"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if strings.Contains(page, key) {
		t.Error("a key is on the page")
	}
	if loads := regexp.MustCompile(`(?i)<script|<link|<img|@import|url\(|\sstyle=|\son\w+=`).FindString(page); loads != "" {
		t.Errorf("the page is not self-contained: %s", loads)
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if style == nil {
		t.Fatal("the page has no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
	if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, want) {
		t.Errorf("got policy %q, want %q: browsers would drop the style", got, want)
	}
}

func TestLandingPageKnowsItsAddress(t *testing.T) {
	t.Parallel()
	forwarded := []string{"X-Forwarded-Proto", "HTTPS, http", "X-Forwarded-Host", "img.example, inner"}
	cases := map[string]struct {
		public  string
		trust   bool
		headers []string
		want    string
	}{
		"the request's":                  {"", false, nil, "curl http://example.com/v1/"},
		"not a stranger's word":          {"", false, forwarded, "curl http://example.com/v1/"},
		"the proxy's word":               {"", true, forwarded, "curl https://img.example/v1/"},
		"a proxy that says little":       {"", true, nil, "curl http://example.com/v1/"},
		"a scheme that is none":          {"", true, []string{"X-Forwarded-Proto", "javascript"}, "curl http://example.com/v1/"},
		"the configured one wins":        {"https://public.example/", true, forwarded, "curl https://public.example/v1/"},
		"what a host header may smuggle": {"", true, []string{"X-Forwarded-Host", "<script>alert(1)</script>"}, "curl http://&lt;script&gt;"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, &fakeJobs{}, func(cfg *httpapi.Config) { cfg.PublicURL, cfg.TrustProxyHeaders = c.public, c.trust })
			if page := send(t, s, "GET", "/", "", c.headers...).Body.String(); !strings.Contains(page, c.want) {
				t.Errorf("%q is not on the page:\n%s", c.want, page)
			}
		})
	}
}
