package adapter_test

import (
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

func TestImageURL(t *testing.T) {
	t.Parallel()
	for address, usable := range map[string]bool{
		"https://x.test/a.png":                        true,
		"http://127.0.0.1:8080/a.png?x=1&y=(2)":       true,
		"https://x.test/图片.png":                       true,
		"HTTPS://x.test/a.png":                        true,
		"https://x.test/" + strings.Repeat("a", 4000): true,
		"https://x.test/" + strings.Repeat("a", 5000): false,
		"":                        false,
		"//x.test/a.png":          false,
		"/a.png":                  false,
		"a.png":                   false,
		"https:///a.png":          false,
		"https://:443/a.png":      false,
		"ftp://x.test/a.png":      false,
		"data:image/png;base64,x": false,
		"javascript:alert(1)":     false,
		"file:///etc/passwd":      false,
		"https://me:pw@x.test/a":  false,
		"https://x.test/a b.png":  false,
		"https://x.test/a\nb":     false,
		"https://x.test/a\u0000":  false,
		"https://x.test/\u202e":   false,
		"https://x.test/\ufffd":   false,
		"https://x.test/<b>":      false,
		"https://x.test/\"":       false,
		"https://x.test:port/a":   false,
	} {
		t.Run(address[:min(len(address), 30)], func(t *testing.T) {
			t.Parallel()
			if err := adapter.CheckImageURL(address); (err == nil) != usable {
				t.Errorf("got %v, want usable to be %v", err, usable)
			}
		})
	}
}
