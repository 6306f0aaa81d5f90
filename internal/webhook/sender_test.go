package webhook_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

func message() webhook.Message {
	return webhook.Message{ID: "msg_abcdefghijklmnopqrstuvwxyz", Payload: []byte(`{"type":"job.completed","data":{"prompt":"一只小狗"}}`)}
}

// delivery is what arrived.
type delivery struct {
	method, target string
	header         http.Header
	body           []byte
}

// receiver is a client's server.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []delivery
}

func (r *receiver) all() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

// receive serves a receiver that answers with a status.
func receive(t *testing.T, status int) *receiver {
	t.Helper()
	return receiveWith(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func receiveWith(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.got = append(r.got, delivery{req.Method, req.RequestURI, req.Header, body})
		r.mu.Unlock()
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func verifier(t *testing.T, text string) *standardwebhooks.Webhook {
	t.Helper()
	v, err := standardwebhooks.NewWebhook(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSend(t *testing.T) {
	t.Parallel()
	r := receive(t, http.StatusAccepted)
	m := message()
	before := time.Now().Unix()
	if err := newSender(t).Send(t.Context(), r.URL+"/hook?key=1#here", m); err != nil {
		t.Fatal(err)
	}
	got := r.all()
	if len(got) != 1 {
		t.Fatalf("%d deliveries", len(got))
	}
	d := got[0]
	if d.method != http.MethodPost || d.target != "/hook?key=1" || string(d.body) != string(m.Payload) {
		t.Errorf("arrived: %s %s %s", d.method, d.target, d.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "zimage-gateway/v1.2.3", "webhook-id": m.ID, "Accept-Encoding": "",
		"Content-Length": strconv.Itoa(len(m.Payload)),
	} {
		if got := d.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	stamp, err := strconv.ParseInt(d.header.Get("webhook-timestamp"), 10, 64)
	if err != nil || stamp < before || stamp > time.Now().Unix() {
		t.Errorf("the timestamp is %d (%v), now is %d", stamp, err, time.Now().Unix())
	}
	if err := verifier(t, secretText).Verify(d.body, d.header); err != nil {
		t.Errorf("the signature: %v", err)
	}
	if err := verifier(t, otherSecret).Verify(d.body, d.header); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("another secret: %v", err)
	}
	tampered := []byte(strings.Replace(string(d.body), "completed", "cancelled", 1))
	if err := verifier(t, secretText).Verify(tampered, d.header); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("another body: %v", err)
	}
	d.header.Set("webhook-id", "msg_other")
	if err := verifier(t, secretText).Verify(d.body, d.header); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("another id: %v", err)
	}
}

func TestSendByStatus(t *testing.T) {
	t.Parallel()
	for status, ok := range map[int]bool{
		200: true, 201: true, 202: true, 204: true, 299: true, 300: false, 304: false, 400: false, 404: false, 410: false, 429: false, 500: false, 503: false,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			r := receive(t, status)
			err := newSender(t).Send(t.Context(), r.URL, message())
			if (err == nil) != ok {
				t.Fatalf("error = %v", err)
			}
			if errors.Is(err, webhook.ErrGone) != (status == http.StatusGone) {
				t.Errorf("ErrGone: %v", err)
			}
			if got, found := errors.AsType[*webhook.StatusError](err); !ok && (!found || got.Code != status) {
				t.Errorf("got %v, want the status", err)
			}
			if n := len(r.all()); n != 1 {
				t.Errorf("%d deliveries", n)
			}
		})
	}
}

func TestSendFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	target := receive(t, http.StatusOK)
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := receiveWith(t, func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, target.URL+"/s3cr3t", status) })
		err := newSender(t).Send(t.Context(), r.URL, message())
		if got, ok := errors.AsType[*webhook.StatusError](err); !ok || got.Code != status {
			t.Errorf("%d: got %v, want the status", status, err)
		}
	}
	if n := len(target.all()); n != 0 {
		t.Errorf("%d deliveries went on", n)
	}
}

// What a receiver does with its connection costs no more than the timeout and a bounded number of bytes.
func TestSendIsBounded(t *testing.T) {
	t.Parallel()
	gone := func(req *http.Request) { <-req.Context().Done() }
	cases := map[string]struct {
		answer http.HandlerFunc
		ok     bool
		timed  bool // it ends by the timeout; the others end by what they send
	}{
		"an endless answer": {func(w http.ResponseWriter, _ *http.Request) {
			for chunk := make([]byte, 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, true, false},
		"a failure with an endless answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			for chunk := make([]byte, 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, false, false},
		"an answer that does not end": {func(w http.ResponseWriter, req *http.Request) {
			_ = http.NewResponseController(w).Flush()
			gone(req)
		}, true, true},
		"an answer that does not begin": {func(_ http.ResponseWriter, req *http.Request) { gone(req) }, false, true},
		"a header without end": {func(w http.ResponseWriter, _ *http.Request) {
			raw(w, func(conn net.Conn) {
				_, err := conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
				for err == nil {
					_, err = conn.Write([]byte("X-More: " + strings.Repeat("x", 8192) + "\r\n"))
				}
			})
		}, false, false},
		"another protocol": {func(w http.ResponseWriter, _ *http.Request) {
			raw(w, func(conn net.Conn) {
				_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"))
				_, _ = io.Copy(io.Discard, conn)
			})
		}, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if c.timed {
				timeout = 200 * time.Millisecond
			}
			r := receiveWith(t, c.answer)
			done := make(chan error, 1)
			s := newSender(t, func(c *webhook.Config) { c.Timeout = timeout })
			go func() { done <- s.Send(t.Context(), r.URL+"/s3cr3t", message()) }()
			select {
			case err := <-done:
				if (err == nil) != c.ok {
					t.Errorf("error = %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the try does not end")
			}
			// Its handler ends only when the sender hangs up.
			s.CloseIdleConnections()
			r.Close()
		})
	}
}

// raw writes to the connection of a request itself.
func raw(w http.ResponseWriter, write func(net.Conn)) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close() //nolint:errcheck // of a test
	write(conn)
}

func TestSendTellsWhyItsContextEnded(t *testing.T) {
	t.Parallel()
	cause := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(t.Context())
	r := receiveWith(t, func(_ http.ResponseWriter, req *http.Request) {
		cancel(cause)
		<-req.Context().Done()
	})
	if err := newSender(t).Send(ctx, r.URL, message()); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
}

// Nothing but the URL's host is told, also by receivers that send back what they were asked.
func TestSendErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	echo := func(before string) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			raw(w, func(conn net.Conn) { _, _ = conn.Write([]byte(before + req.RequestURI + "\r\n\r\n")) })
		}
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	plain := receive(t, http.StatusOK)
	private := webhook.Config{Secret: secret(t)}
	const part = "/p4th/tok3n?k3y=v4lue"
	cases := map[string]struct {
		url  string
		tune func(*webhook.Config)
		want string
	}{
		"a status": {receive(t, http.StatusTeapot).URL + part, nil, "HTTP 418"},
		"a redirect to itself": {receiveWith(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", r.RequestURI)
			w.WriteHeader(http.StatusPermanentRedirect)
		}).URL + part, nil, "HTTP 308"},
		"no HTTP":               {receiveWith(t, echo("")).URL + part, nil, "not understood"},
		"a bad status":          {receiveWith(t, echo("HTTP/1.1 ")).URL + part, nil, "not understood"},
		"a bad version":         {receiveWith(t, echo("HTTP/9")).URL + part, nil, "not understood"},
		"a bad header":          {receiveWith(t, echo("HTTP/1.1 200 OK\r\n")).URL + part, nil, "not understood"},
		"a bad length":          {receiveWith(t, echo("HTTP/1.1 200 OK\r\nContent-Length: ")).URL + part, nil, "not understood"},
		"a bad encoding":        {receiveWith(t, echo("HTTP/1.1 200 OK\r\nTransfer-Encoding: ")).URL + part, nil, "not understood"},
		"no answer":             {receiveWith(t, func(w http.ResponseWriter, _ *http.Request) { raw(w, func(net.Conn) {}) }).URL + part, nil, "closed"},
		"nobody there":          {closed.URL + part, nil, "refused"},
		"no such name":          {"http://nowhere.example" + part, nil, "no such host"},
		"a strange certificate": {secure.URL + part, nil, "certificate"},
		"no TLS":                {strings.Replace(plain.URL, "http:", "https:", 1) + part, nil, "not look like a TLS handshake"},
		"silence": {
			receiveWith(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }).URL + part,
			func(c *webhook.Config) { c.Timeout = 50 * time.Millisecond }, "no reply in time",
		},
		"a private address":     {plain.URL + part, func(c *webhook.Config) { *c = private }, netguard.ErrAddress.Error()},
		"a private name":        {"http://" + rebound + part, func(c *webhook.Config) { *c = private }, netguard.ErrAddress.Error()},
		"no URL":                {"http://exa mple.com" + part, nil, "not an absolute"},
		"a user":                {"http://k3y:v4lue@example.com" + part, nil, "not an absolute"},
		"a port that is none":   {"http://127.0.0.1:99999" + part, nil, "port"},
		"a scheme of one's own": {"p4th:" + part, nil, "not an absolute"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t)
			if c.tune != nil {
				s = newSender(t, c.tune)
			}
			err := s.Send(t.Context(), c.url, message())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error = %v, want one with %q", err, c.want)
			}
			for _, bad := range []string{"p4th", "tok3n", "k3y", "v4lue", secretText[6:]} {
				if strings.Contains(err.Error(), bad) {
					t.Errorf("the error holds %s: %v", bad, err)
				}
			}
			if u, parseErr := url.Parse(c.url); parseErr == nil && u.Host != "" && u.User == nil && !strings.Contains(err.Error(), u.Host) {
				t.Errorf("the error does not name the host: %v", err)
			}
		})
	}
}

// Proxies of the environment would resolve names themselves. ProxyFromEnvironment never applies to loopback, so the name
// of a machine elsewhere is asked for.
func TestSendUsesNoProxy(t *testing.T) {
	proxy := receive(t, http.StatusOK)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	if err := newSender(t).Send(t.Context(), "http://nowhere.example/hook", message()); err == nil {
		t.Error("something answered for a name that does not exist")
	}
	if n := len(proxy.all()); n != 0 {
		t.Errorf("the proxy got %d deliveries", n)
	}
}

// Events are sent one after the other on one connection.
func TestSendKeepsConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	from := map[string]bool{}
	r := receiveWith(t, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[req.RemoteAddr] = true
		_, _ = w.Write([]byte("thank you"))
	})
	s := newSender(t)
	for range 3 {
		if err := s.Send(t.Context(), r.URL, message()); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(from) != 1 {
		t.Errorf("%d connections", len(from))
	}
}
