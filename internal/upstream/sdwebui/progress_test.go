package sdwebui_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/sdwebui"
)

// server draws for a while, in memory, and says about its progress what it is told to.
type server struct {
	drawing  time.Duration
	progress []string // replies in turn, and the last one from then on
	status   int      // of them
	looks    []string // the requests for them
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/progress") {
		reply := s.progress[min(len(s.looks), len(s.progress)-1)]
		s.looks = append(s.looks, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization"))
		return answer(s.status, reply), nil
	}
	select {
	case <-time.After(s.drawing):
		return answer(http.StatusOK, `{"images":["`+png+`"],"info":"{}"}`), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func at(progress float64, job string) string {
	return fmt.Sprintf(`{"progress":%v,"eta_relative":3.5,"state":{"job":%q,"job_count":1,"sampling_step":3},"current_image":null,"textinfo":null}`, progress, job)
}

func TestProgress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server server
		want   []float64
		looks  int
	}{
		"steps": {
			server{drawing: 4500 * time.Millisecond, status: 200, progress: []string{at(0, ""), at(0.26, "scripts_txt2img"), at(0.5, "scripts_txt2img"), at(0.9, "scripts_txt2img")}},
			[]float64{0.26, 0.5, 0.9},
			4,
		},
		"never backwards, never over": {
			server{drawing: 4500 * time.Millisecond, status: 200, progress: []string{at(0.5, "API-TXT"), at(0.4, "API-TXT"), at(0.5, "API-TXT"), at(1.7, "")}},
			[]float64{0.5, 1},
			4,
		},
		"a job of the browser": {
			server{drawing: 3500 * time.Millisecond, status: 200, progress: []string{at(0.5, "task(abc)"), at(0.6, "task(abc)"), at(0.1, "scripts_txt2img")}},
			[]float64{0.1},
			3,
		},
		"no sense":       {server{drawing: 2500 * time.Millisecond, status: 200, progress: []string{`<html>`, `{"progress":"half"}`}}, nil, 2},
		"not for us":     {server{drawing: 5500 * time.Millisecond, status: 401, progress: []string{at(0.5, "")}}, nil, 1},
		"a bad moment":   {server{drawing: 2500 * time.Millisecond, status: 500, progress: []string{at(0.5, "")}}, nil, 2},
		"quickly drawn":  {server{drawing: 900 * time.Millisecond, status: 200, progress: []string{at(0.5, "")}}, nil, 0},
		"less than none": {server{drawing: 1500 * time.Millisecond, status: 200, progress: []string{at(-3, "")}}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var told []float64 // without a lock: what is told after Generate returned is a race
				o := dog
				o.Progress = func(done float64) { told = append(told, done) }
				client := newClient(t, sdwebui.Config{URL: "http://x.test", APIKey: "me:pass", Transport: &c.server})
				if _, err := client.Generate(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, told); diff != "" {
					t.Errorf("progress (-want +got):\n%s", diff)
				}
				if len(c.server.looks) != c.looks {
					t.Errorf("got %d looks, want %d", len(c.server.looks), c.looks)
				}
				for _, look := range c.server.looks {
					if want := "GET /sdapi/v1/progress?skip_current_image=true Basic bWU6cGFzcw=="; look != want {
						t.Errorf("got %q, want %q", look, want)
					}
				}
			})
		})
	}
}

func TestProgressOfTwoCallsIsNobodys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, sdwebui.Config{URL: "http://x.test", Transport: transport(func(r *http.Request) (*http.Response, error) {
			s := server{drawing: 3500 * time.Millisecond, status: 200, progress: []string{at(0.5, "")}}
			return s.RoundTrip(r)
		})})
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				o := dog
				o.Progress = func(done float64) { t.Errorf("told %v, which may be the other call's", done) }
				if _, err := client.Generate(t.Context(), o); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	})
}

func TestProgressIsAskedForOnlyWhereSomebodyWantsToKnow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{drawing: 10 * time.Second, status: 200, progress: []string{at(0.5, "")}}
		client := newClient(t, sdwebui.Config{URL: "http://x.test", Transport: s})
		if _, err := client.Generate(t.Context(), imagegen.Order{Prompt: "a cat"}); err != nil {
			t.Fatal(err)
		}
		if len(s.looks) > 0 {
			t.Errorf("got %d looks, want none", len(s.looks))
		}
	})
}
