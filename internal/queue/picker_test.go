package queue

import (
	"testing"

	"pgregory.net/rapid"
)

// picks serves lanes with so many pictures each and returns them in order of service.
func picks(c credits, waiting [len(laneWeights)]int) (order []int) {
	for {
		var some [len(laneWeights)]bool
		for i, n := range waiting {
			some[i] = n > 0
		}
		lane, after, ok := c.pick(some)
		if !ok {
			return order
		}
		c = after
		waiting[lane]--
		order = append(order, lane)
	}
}

func TestLanesAreServedByWeight(t *testing.T) {
	t.Parallel()
	order := picks(credits{}, [len(laneWeights)]int{200, 200, 200, 200, 200})
	var served [len(laneWeights)]int
	for _, lane := range order[:320] { // ten rounds of all weights together
		served[lane]++
	}
	if want := [len(laneWeights)]int{200, 60, 30, 20, 10}; served != want {
		t.Errorf("of 320 picks the lanes had %v, want %v", served, want)
	}
	if len(order) != 1000 {
		t.Errorf("%d picks for 1000 pictures", len(order))
	}
}

// Whatever went before, a picture in the express lane starts with the second pick at the latest, and no lane starves.
func TestNoLaneStarves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c credits
		passed := [len(laneWeights)]int{} // picks since the lane began to wait, or was served
		for range rapid.IntRange(1, 300).Draw(t, "picks") {
			var some [len(laneWeights)]bool
			for i := range some {
				// What waits goes on waiting until it is served.
				some[i] = passed[i] > 0 || rapid.Bool().Draw(t, "waits")
			}
			lane, after, ok := c.pick(some)
			c = after
			if !ok {
				continue
			}
			if !some[lane] {
				t.Fatalf("lane %d is served although nothing waits there", lane)
			}
			for i := range some {
				switch {
				case i == lane || !some[i]:
					passed[i] = 0
				default:
					passed[i]++
				}
			}
			if passed[0] >= 2 {
				t.Fatalf("an express picture was passed over %d times", passed[0])
			}
			for i, n := range passed {
				if n > 3*32/laneWeights[i] {
					t.Fatalf("lane %d was passed over %d times", i, n)
				}
			}
		}
	})
}
