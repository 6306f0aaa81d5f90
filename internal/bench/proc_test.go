package main

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = "R 1 42 42 0 -1 4194304 120 0 0 0 250 75 3 4 20 0 1 0 100 1000 100 18446744073709551615"
	for name, c := range map[string]struct {
		stat string
		want time.Duration
		ok   bool
	}{
		"user and system":                    {"42 (api) " + rest, 3250 * time.Millisecond, true},
		"a name with blanks and parentheses": {"42 (a ) R 9 b) " + rest, 3250 * time.Millisecond, true},
		"cut short":                          {"42 (api) R 1 42", 0, false},
		"not numbers":                        {"42 (api) R 1 42 42 0 -1 4194304 120 0 0 0 x y 3 4", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStat(c.stat)
			if got != c.want || (err == nil) != c.ok {
				t.Errorf("got %v (%v), want %v", got, err, c.want)
			}
		})
	}
}

func TestParsePeak(t *testing.T) {
	t.Parallel()
	got, err := parsePeak("Name:\tapi\nVmPeak:\t  900000 kB\nVmHWM:\t    1536 kB\nVmRSS:\t    1000 kB\n")
	if const15 := int64(1536 << 10); err != nil || got != const15 {
		t.Errorf("got %d (%v), want %d", got, err, const15)
	}
	for name, status := range map[string]string{"none": "Name:\tapi\n", "no number": "VmHWM:\tmuch kB\n"} {
		if _, err := parsePeak(status); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	if err := supported(); err != nil {
		t.Skip(err)
	}
	all, err := usages(nil)
	if err != nil || len(all) != 1 || all[0].peak < 1<<20 {
		t.Errorf("got %+v (%v)", all, err)
	}
}
