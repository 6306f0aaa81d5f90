package httpapi

import (
	"net/url"
	"strings"
)

// canonicalURL returns the URL of a request with the one form of its path that is routed. Clients build paths from base
// URLs with and without /v1, double it, and leave slashes at either end; none of them follows a redirect of a POST.
func canonicalURL(of *url.URL) *url.URL {
	u := *of
	// The escaped form is the one to route on: the slash in /v1/models/a%2Fb belongs to the id.
	u.RawPath = canonicalPath(of.EscapedPath())
	u.Path = u.RawPath
	if plain, err := url.PathUnescape(u.RawPath); err == nil {
		u.Path = plain
	}
	return &u
}

// canonicalPath maps /v1/X, /X and /v1/v1/X to /v1/X, and leaves the pages that are not part of the API where they are.
func canonicalPath(escaped string) string {
	segments := strings.FieldsFunc(escaped, func(r rune) bool { return r == '/' })
	if len(segments) == 0 || len(segments) == 1 && (segments[0] == "healthz" || segments[0] == "openapi.json") {
		return "/" + strings.Join(segments, "/")
	}
	for range 2 {
		if len(segments) > 0 && segments[0] == "v1" {
			segments = segments[1:]
		}
	}
	return "/" + strings.Join(append([]string{"v1"}, segments...), "/")
}
