package main

import (
	"math"
	"slices"
	"time"
)

// The quantiles that are told of.
const (
	half = 0.5
	p99  = 0.99
	p999 = 0.999
)

// quantile returns the smallest of the samples that at least the share q of them does not exceed. It takes every sample
// as it is: no histogram rounds it. Without samples it is not a number.
func quantile(samples []time.Duration, q float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1].Seconds()
}

// median returns the middle one, or the mean of the two in the middle. Values that are not numbers do not count.
func median(values []float64) float64 {
	sorted := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(sorted) == 0 {
		return math.NaN()
	}
	slices.Sort(sorted)
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// medianOf returns the median over the runs of what of says of each.
func medianOf[T any](runs []T, of func(T) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = of(r)
	}
	return median(values)
}
