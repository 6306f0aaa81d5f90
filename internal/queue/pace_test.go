package queue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

func TestPaceOfAllWorkers(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_000)
	cases := map[string]struct {
		words []string
		want  job.Pace
	}{
		"nobody":                              {},
		"one":                                 {[]string{"10 0 8000 20 1001"}, job.Pace{Slots: 10, Call: 8 * time.Second}},
		"one that has not drawn yet":          {[]string{"10 0 0 0 1001"}, job.Pace{Slots: 10}},
		"the least limit holds for all":       {[]string{"10 0 0 0 1001", "10 3 0 0 1001", "10 5 0 0 1001"}, job.Pace{Slots: 3}},
		"a limit above all slots":             {[]string{"10 30 0 0 1001"}, job.Pace{Slots: 10}},
		"means weigh as many calls":           {[]string{"1 0 1000 3 1001", "1 0 5000 1 1001"}, job.Pace{Slots: 2, Call: 2 * time.Second}},
		"no word weighs more than it may":     {[]string{"1 0 1000 20 1001", "1 0 3000 9999 1001"}, job.Pace{Slots: 2, Call: 2 * time.Second}},
		"what is too old":                     {[]string{"10 0 8000 20 999"}, job.Pace{}},
		"what nobody can read":                {[]string{"", "fast", "1 2 3", "-1 0 0 0 1001", "1 0 -5 1 1001", "1 0 9999999999999999999 1 1001", "1 0 9999999999999999 1 1001"}, job.Pace{}},
		"a newer version that says more":      {[]string{"10 0 8000 20 1001 more"}, job.Pace{Slots: 10, Call: 8 * time.Second}},
		"a word that just runs out is good":   {[]string{"10 0 8000 20 1000"}, job.Pace{Slots: 10, Call: 8 * time.Second}},
		"an old limit does not hold any more": {[]string{"10 0 0 0 1001", "10 3 0 0 999"}, job.Pace{Slots: 10}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			words := make(map[string]string, len(c.words))
			for i, word := range c.words {
				words[string(rune('a'+i))] = word
			}
			if got := pacesOf(words, now).All; got != c.want {
				t.Errorf("pace = %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestPaceOfEachUpstream(t *testing.T) {
	t.Parallel()
	one := word{slots: 10, all: mean{4 * time.Second, 4}, until: time.UnixMilli(2_000), upstreams: map[string]pace{
		"exacg": {limit: 4, mean: mean{8 * time.Second, 2}}, "local": {mean: mean{time.Second, 2}},
	}}
	two := word{slots: 2, until: time.UnixMilli(2_000), upstreams: map[string]pace{"exacg": {}}}
	late := word{slots: 5, until: time.UnixMilli(1), upstreams: map[string]pace{"gone": {}}}
	got := pacesOf(map[string]string{"a": one.String(), "b": two.String(), "c": late.String()}, time.UnixMilli(1_000))
	want := job.Paces{All: job.Pace{Slots: 12, Call: 4 * time.Second}, Of: map[string]job.Pace{
		"exacg": {Slots: 4, Call: 8 * time.Second}, "local": {Slots: 10, Call: time.Second},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paces (-want +got):\n%s", diff)
	}
}

func TestWhatWorkersServe(t *testing.T) {
	t.Parallel()
	says := func(until int64, upstreams map[string]pace) string {
		return word{slots: 1, until: time.UnixMilli(until), upstreams: upstreams}.String()
	}
	words := map[string]string{
		"a": says(2_000, map[string]pace{"exacg": {mark: "1"}, "local": {mark: "2"}}),
		"b": says(2_000, map[string]pace{"local": {mark: "3"}, "other.1-x": {limit: 7}}),
		"c": says(1, map[string]pace{"exacg": {mark: "9"}, "gone": {}}),
		"d": "10 0 8000 20 2000", // an older version says nothing of upstreams
	}
	want := Served{Upstreams: []string{"exacg", "local", "other.1-x"}, Disputed: []string{"local"}}
	if diff := cmp.Diff(want, servedOf(words, time.UnixMilli(1_000))); diff != "" {
		t.Errorf("served (-want +got):\n%s", diff)
	}
}

func TestMeanFollowsTheCalls(t *testing.T) {
	t.Parallel()
	var p pacer
	p.observe("exacg", time.Millisecond) // found nothing to do
	if n := p.means[""].calls; n != 0 {
		t.Errorf("%d calls after a handler that made none", n)
	}
	p.observe("exacg", 4*time.Second)
	p.observe("local", 8*time.Second)
	if all, exacg := p.means[""].of, p.means["exacg"].of; all != 6*time.Second || exacg != 4*time.Second {
		t.Errorf("mean of the first two calls = %v, of the first upstream %v; want 6s and 4s", all, exacg)
	}
	for range 100 {
		p.observe("exacg", time.Minute)
	}
	if m := p.means[""]; m.of < 55*time.Second || m.calls != paceCalls {
		t.Errorf("mean = %v of %d calls, want about a minute of %d", m.of, m.calls, paceCalls)
	}
}
