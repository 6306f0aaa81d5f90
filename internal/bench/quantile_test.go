package main

import (
	"math"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	upTo := func(n int) (samples []time.Duration) {
		for i := n; i > 0; i-- { // not in order
			samples = append(samples, time.Duration(i)*time.Second)
		}
		return samples
	}
	for name, c := range map[string]struct {
		samples []time.Duration
		q       float64
		want    float64
	}{
		"one sample is all of them":          {upTo(1), 0.99, 1},
		"the median of an odd number":        {upTo(5), 0.5, 3},
		"the lower middle of an even one":    {upTo(4), 0.5, 2},
		"p99 of a hundred is the last but 1": {upTo(100), 0.99, 99},
		"p99.9 of a hundred is the last":     {upTo(100), 0.999, 100},
		"p100 is the largest":                {upTo(7), 1, 7},
		"p0 is the smallest":                 {upTo(7), 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := quantile(c.samples, c.q); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("without samples: got %v, want none", got)
	}
}

func TestQuantileLeavesSamplesAlone(t *testing.T) {
	t.Parallel()
	samples := []time.Duration{2, 1}
	quantile(samples, 0.5)
	if samples[0] != 2 {
		t.Error("the samples are in another order")
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values []float64
		want   float64
	}{
		"odd":                       {[]float64{3, 1, 2}, 2},
		"even":                      {[]float64{4, 1, 2, 3}, 2.5},
		"without what is not known": {[]float64{math.NaN(), 5}, 5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	if got := median([]float64{math.NaN()}); !math.IsNaN(got) {
		t.Errorf("of nothing: got %v", got)
	}
}
