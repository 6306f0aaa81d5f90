package queue

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

const lanes = len(laneWeights)

// picker keeps the credits between picks, as a dispatcher does.
type picker struct{ credits credits }

func (p *picker) pick(waiting [lanes]bool) (lane int, ok bool) {
	lane, p.credits, ok = p.credits.pick(waiting)
	return lane, ok
}

func TestEveryLaneHasAWeight(t *testing.T) {
	t.Parallel()
	if got := len(job.Lanes()); got != lanes {
		t.Errorf("%d lanes, %d weights", got, lanes)
	}
}

func TestLanesAreServedByWeight(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		waiting [lanes]bool
		want    [lanes]int // of as many picks as the waiting lanes' weights come to
	}{
		"all":                     {[lanes]bool{true, true, true, true, true}, [lanes]int{20, 6, 3, 2, 1}},
		"all but express":         {[lanes]bool{false, true, true, true, true}, [lanes]int{0, 6, 3, 2, 1}},
		"bulk beside busy":        {[lanes]bool{true, false, false, false, true}, [lanes]int{20, 0, 0, 0, 1}},
		"one alone":               {[lanes]bool{false, false, false, true, false}, [lanes]int{0, 0, 0, 2, 0}},
		"none, and none is taken": {},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p picker
			picks := 0
			for _, n := range c.want {
				picks += n
			}
			for range 3 { // rounds are alike
				var got [lanes]int
				for range max(picks, 1) {
					if lane, ok := p.pick(c.waiting); ok {
						got[lane]++
					}
				}
				if got != c.want {
					t.Errorf("served %v, want %v", got, c.want)
				}
			}
		})
	}
}

// However long others were served, an arrival in the express lane is first or second in line.
func TestAnArrivalIsServedSoonAfterAFlood(t *testing.T) {
	t.Parallel()
	for flood := range 100 {
		var p picker
		for range flood {
			p.pick([lanes]bool{false, true, true, true, true})
		}
		picks := 1
		for {
			if lane, _ := p.pick([lanes]bool{true, true, true, true, true}); lane == 0 {
				break
			}
			picks++
		}
		if picks > 2 {
			t.Errorf("after %d picks of others an express picture is served at pick %d", flood, picks)
		}
	}
}

// No history starves a lane, or makes an arrival in the express lane wait.
func TestNoLaneStarves(t *testing.T) {
	t.Parallel()
	const most = 64 // twice a round
	rapid.Check(t, func(t *rapid.T) {
		var p picker
		var waits [lanes]int // picks since the lane was empty or served
		kept := rapid.SliceOfN(rapid.Bool(), lanes, lanes).Draw(t, "lanes that never run empty")
		for _, mask := range rapid.SliceOfN(rapid.IntRange(0, 1<<lanes-1), 300, 300).Draw(t, "waiting") {
			var waiting [lanes]bool
			for i := range waiting {
				waiting[i] = kept[i] || mask>>i&1 == 1
			}
			lane, ok := p.pick(waiting)
			if ok && !waiting[lane] {
				t.Fatalf("lane %d is served, and empty", lane)
			}
			if !ok && waiting != [lanes]bool{} {
				t.Fatalf("none is served of %v", waiting)
			}
			for i := range waits {
				waits[i]++
				if !waiting[i] || ok && i == lane {
					waits[i] = 0
				}
				if waits[i] > most {
					t.Fatalf("lane %d waits for %d picks", i, waits[i])
				}
			}
			if waits[0] >= 3 {
				t.Fatalf("the express lane waits for %d picks", waits[0])
			}
		}
	})
}
