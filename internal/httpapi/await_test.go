package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

func keepAliveAfter(d time.Duration) func(*httpapi.Config) {
	return func(c *httpapi.Config) { c.SyncKeepalive = d }
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		takes    time.Duration
		newlines int
	}{
		"a short wait sends nothing":               {44 * time.Second, 0},
		"a long wait sends a status and a newline": {46 * time.Second, 1},
		"a longer one sends a newline every 10 s":  {86 * time.Second, 5},
		"two minutes, as a busy upstream may take": {2 * time.Minute, 8},
	}
	for path, body := range map[string]string{
		"/v1/chat/completions": `{"prompt":"a"}`, "/v1/images/generations": `{"prompt":"a"}`, "/v1/responses": `{"input":"a"}`,
	} {
		for name, c := range cases {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, &fakeJobs{waitFunc: after(c.takes, finished(dogJob()))}, keepAliveAfter(45*time.Second), withPictures(t))
				w := send(t, s, "POST", path, body)
				got := w.Body.String()
				if n := len(got) - len(strings.TrimLeft(got, "\n")); n != c.newlines || !strings.Contains(got, "img.example/a.png") {
					t.Errorf("%s: %d newlines, want %d:\n%s", name, n, c.newlines, got)
				}
				if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Job-Id") == "" {
					t.Errorf("%s: %d %v", name, w.Code, w.Header())
				}
			})
		}
	}
}

func TestKeepAliveCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, &fakeJobs{waitFunc: after(4*time.Minute, finished(dogJob()))})
		if got := send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a"}`, "X-Stainless-Lang", "js"); !strings.HasPrefix(got.Body.String(), "{") || got.Code != 200 {
			t.Errorf("got %d %s", got.Code, got.Body)
		}
	})
}

// Before the status is out a failure has its own; after that the reply breaks off, and is never taken for a picture.
func TestFailuresOfKeptAliveCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		early := newServer(t, &fakeJobs{waitFunc: after(44*time.Second, failed(dogJob(), imagegen.KindUpstreamRejected))}, keepAliveAfter(45*time.Second))
		wantError(t, send(t, early, "POST", "/v1/chat/completions", `{"prompt":"a"}`), 400, "upstream_rejected", "")
	})
	for name, jobs := range map[string]func() *fakeJobs{
		"a failure": func() *fakeJobs {
			return &fakeJobs{waitFunc: after(50*time.Second, failed(dogJob(), imagegen.KindUpstreamRejected))}
		},
		"no picture in time": func() *fakeJobs { return &fakeJobs{waitFunc: never} },
		"a panic": func() *fakeJobs {
			return &fakeJobs{waitFunc: func(ctx context.Context, _ string, _ job.ID) (job.Job, error) {
				select {
				case <-time.After(50 * time.Second):
				case <-ctx.Done():
				}
				panic("late")
			}}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			w := httptest.NewRecorder()
			broke := func() (v any) {
				defer func() { v = recover() }()
				newServer(t, jobs(), keepAliveAfter(45*time.Second), logInto(&b)).ServeHTTP(w, request(t, "POST", "/v1/chat/completions", `{"prompt":"a"}`))
				return nil
			}()
			if broke != http.ErrAbortHandler { //nolint:errorlint // a panic's value is no chain
				t.Errorf("%s: the reply ends as if it were whole (%v): %q", name, broke, w.Body)
			}
			if strings.Trim(w.Body.String(), "\n") != "" {
				t.Errorf("%s: a status of 200 came with %q", name, w.Body)
			}
			if got := logged(t, &b); got["status"] == 200.0 || got["job_id"] != "job_abc" {
				t.Errorf("%s: logged %v", name, got)
			}
			synctest.Wait() // no newline is on its way any more
		})
	}
}

// Over HTTP/1.0, which proxies speak, the end of the connection is the end of the reply: only a reset is not.
func TestBrokenOffRepliesLookBroken(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"1.0", "1.1"} {
		s := newServer(t, &fakeJobs{waitFunc: after(300*time.Millisecond, failed(dogJob(), imagegen.KindUpstreamError))}, keepAliveAfter(20*time.Millisecond))
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		const body = `{"prompt":"a"}`
		if _, err := io.WriteString(conn, "POST /v1/chat/completions HTTP/"+proto+"\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\nContent-Length: 14\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
			t.Errorf("HTTP/%s: got %q, %v", proto, line, err)
		}
		if rest, err := io.ReadAll(in); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("HTTP/%s: the reply ends with %v after %q", proto, err, rest)
		}
	}
}

// Clients that follow redirects are sent round, and told the true status in the end.
func TestRounds(t *testing.T) {
	t.Parallel()
	const rounds = 2 // of 45 s each, before the picture is there or not
	for name, c := range map[string]struct {
		path, body, header, value string
		end                       job.Job
		status                    int
		want                      string
	}{
		"a picture for the JavaScript SDK":  {"/v1/chat/completions", `{"prompt":"a"}`, "X-Stainless-Lang", "js", finished(dogJob()), 200, "![一只可爱的小狗]("},
		"a picture in the message's images": {"/chat/completions", `{"prompt":"a","model":"Z-Image:image"}`, "X-Stainless-Lang", "js", finished(dogJob()), 200, `"images":[{`},
		"bytes for the AI SDK":              {"/v1/v1/images/generations", `{"prompt":"a","response_format":"b64_json"}`, "User-Agent", "ai/7.0.173 ai-sdk-provider-utils/5.0.81 node.js/v20.20.2", finished(dogJob()), 200, `"b64_json":"`},
		"a URL":                             {"/v1/images/generations?api-version=1", `{"prompt":"a"}`, "X-Stainless-Lang", "go", finished(dogJob()), 200, `"url":"`},
		"a response":                        {"/v1/responses", `{"input":"a"}`, "X-Stainless-Lang", "js", finished(dogJob()), 200, `"image_generation_call"`},
		"a failure":                         {"/v1/chat/completions", `{"prompt":"a"}`, "X-Stainless-Lang", "js", failed(dogJob(), imagegen.KindUpstreamRejected), 400, "upstream_rejected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				jobs := &fakeJobs{waitFunc: after(rounds*45*time.Second+time.Second, c.end), getFunc: func(context.Context, string, job.ID) (job.Job, error) {
					return dogJob(), nil
				}}
				s := newServer(t, jobs, keepAliveAfter(45*time.Second), withPictures(t))
				w := send(t, s, "POST", c.path, c.body, c.header, c.value)
				for range rounds {
					query, ok := strings.CutPrefix(w.Header().Get("Location"), "?")
					path, asked, _ := strings.Cut(c.path, "?")
					if w.Code != 303 || !ok || !strings.Contains(query, asked) {
						t.Fatalf("got %d %v %s", w.Code, w.Header(), w.Body)
					}
					if w.Body.Len() > 4 {
						t.Errorf("a redirect with %s", w.Body)
					}
					w = send(t, s, "GET", path+"?"+query, "", c.header, c.value)
				}
				if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || w.Header().Get("X-Job-Id") != "job_abc" {
					t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
				}
				if len(jobs.made) != 1 {
					t.Errorf("%d jobs were made", len(jobs.made))
				}
			})
		})
	}
}

// The whole wait is bounded, however many rounds it has; and a client that follows no more of them gets newlines.
func TestRoundsEnd(t *testing.T) {
	t.Parallel()
	for lang, want := range map[string]int{"js": 19, "go": 9} {
		synctest.Test(t, func(t *testing.T) {
			jobs := &fakeJobs{waitFunc: never, getFunc: func(context.Context, string, job.ID) (job.Job, error) { return dogJob(), nil }}
			s := newServer(t, jobs, keepAliveAfter(45*time.Second), func(c *httpapi.Config) { c.SyncTimeout = 3*time.Minute + 20*time.Second })
			began := time.Now()
			w := send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a"}`, "X-Stainless-Lang", lang)
			for w.Code == 303 {
				w = send(t, s, "GET", "/v1/chat/completions"+w.Header().Get("Location"), "", "X-Stainless-Lang", lang)
			}
			wantError(t, w, 504, "generation_timeout", "")
			if took := time.Since(began); took != 3*time.Minute+20*time.Second {
				t.Errorf("the wait ended after %v", took)
			}

			jobs.waitFunc = after(time.Hour, finished(dogJob()))
			s = newServer(t, jobs, keepAliveAfter(45*time.Second), func(c *httpapi.Config) { c.SyncTimeout = 2 * time.Hour })
			rounds := 0
			for w = send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a"}`, "X-Stainless-Lang", lang); w.Code == 303; rounds++ {
				w = send(t, s, "GET", "/v1/chat/completions"+w.Header().Get("Location"), "", "X-Stainless-Lang", lang)
			}
			if rounds != want || w.Code != 200 || !strings.HasPrefix(w.Body.String(), "\n") {
				t.Errorf("%s: %d rounds, then %d %.20q", lang, rounds, w.Code, w.Body)
			}
		})
	}
}

func TestRoundsAreForTheirOwner(t *testing.T) {
	t.Parallel()
	nobodys := func(context.Context, string, job.ID) (job.Job, error) {
		return job.Job{}, &imagegen.Error{Kind: imagegen.KindJobNotFound, Message: "no such job"}
	}
	s := newServer(t, &fakeJobs{waitFunc: nobodys}, keepAliveAfter(time.Second))
	for _, path := range []string{"/v1/chat/completions", "/v1/images/generations", "/v1/images/edits", "/v1/responses"} {
		q := url.Values{"wait": {"job_abc"}, "until": {"99999999999999"}, "rounds": {"-5"}}
		wantError(t, send(t, s, "GET", path+"?"+q.Encode(), ""), 404, "job_not_found", "")
		wantError(t, send(t, s, "GET", path+"?wait=a%0d%0ab", ""), 404, "job_not_found", "")
		w := send(t, s, "GET", path, "")
		wantError(t, w, 405, "method_not_allowed", "")
		if got := w.Header().Get("Allow"); got != "POST, OPTIONS" {
			t.Errorf("%s: Allow = %q", path, got)
		}
	}
}

// A picture that came in the last moment is not withheld.
func TestALateRoundStillLooks(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{waitFunc: after(0, finished(dogJob()))}, keepAliveAfter(time.Minute))
	if w := send(t, s, "GET", "/v1/chat/completions?wait=job_abc&until=1", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "![") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// A client that says it will send no more is taken for gone. What it gets is no reply, in particular no empty 200.
func TestAHalfClosedConnectionGetsNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newServer(t, &fakeJobs{waitFunc: never}))
	t.Cleanup(server.Close)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\nContent-Length: 14\r\n\r\n"+`{"prompt":"a"}`)
	if tcp, ok := conn.(*net.TCPConn); err == nil && ok {
		err = tcp.CloseWrite()
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// A server that stops answers those who wait in their present round: the next one would find nobody.
func TestNoRoundsWhileDraining(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, &fakeJobs{waitFunc: after(time.Minute, finished(dogJob()))}, keepAliveAfter(45*time.Second))
		defer time.AfterFunc(10*time.Second, s.Drain).Stop()
		if w := send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a"}`, "X-Stainless-Lang", "js"); w.Code != 200 || !strings.HasPrefix(w.Body.String(), "{") {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}
