package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

//go:embed landing.html
var landingHTML string

var landingTemplate = template.Must(template.New("landing").Parse(landingHTML))

// landingPolicy allows the page its one style sheet, by hash, and nothing else.
var landingPolicy = func() string {
	_, rest, _ := strings.Cut(landingHTML, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// landingPage is what the page at / says.
type landingPage struct {
	version   string
	publicURL string
	model     string
}

func (s *Server) getLanding(w http.ResponseWriter, r *http.Request) error {
	var b bytes.Buffer
	err := landingTemplate.Execute(&b, struct{ Version, Base, Model string }{s.landing.version, s.baseURL(r), s.landing.model})
	if err != nil {
		return fmt.Errorf("render landing page: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", landingPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if _, err := w.Write(b.Bytes()); err != nil {
		return errors.Join(errClientGone, err)
	}
	return nil
}

// baseURL returns where clients reach the gateway, without a slash at the end.
func (s *Server) baseURL(r *http.Request) string {
	if s.landing.publicURL != "" {
		return strings.TrimRight(s.landing.publicURL, "/")
	}
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if s.trust {
		// The first of a chain of proxies is the one that clients see.
		proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
		if p := strings.ToLower(strings.TrimSpace(proto)); p == "http" || p == "https" {
			scheme = p
		}
		forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
		if h := strings.TrimSpace(forwarded); h != "" {
			host = h
		}
	}
	return scheme + "://" + host
}

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}
