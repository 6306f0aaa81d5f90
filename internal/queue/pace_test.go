package queue

import (
	"testing"
	"time"

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
		"what nobody can read":                {[]string{"", "fast", "1 2 3", "-1 0 0 0 1001", "1 0 -5 1 1001", "1 0 9999999999999 1 1001"}, job.Pace{}},
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
			if got := paceOf(words, now); got != c.want {
				t.Errorf("pace = %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestMeanFollowsTheCalls(t *testing.T) {
	t.Parallel()
	var p pacer
	p.observe(time.Millisecond) // found nothing to do
	if p.calls != 0 {
		t.Errorf("%d calls after a handler that made none", p.calls)
	}
	p.observe(4 * time.Second)
	p.observe(8 * time.Second)
	if p.mean != 6*time.Second {
		t.Errorf("mean of the first two calls = %v, want 6s", p.mean)
	}
	for range 100 {
		p.observe(time.Minute)
	}
	if p.mean < 55*time.Second || p.calls != paceCalls {
		t.Errorf("mean = %v of %d calls, want about a minute of %d", p.mean, p.calls, paceCalls)
	}
}
