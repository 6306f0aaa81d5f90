package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseEvent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line string
		want event
		ok   bool
	}{
		"of a client":       {`+1339518083.107412 [0 127.0.0.1:60866] "GET" "a key"`, event{args: []string{"GET", "a key"}}, true},
		"of a script":       {`+1339518083.107412 [0 lua] "TIME"`, event{inScript: true, args: []string{"TIME"}}, true},
		"with escapes":      {`+1339518083.107412 [0 [::1]:6] "SET" "k" "\"a\" ] \xe7\n\\"`, event{args: []string{"SET", "k", "\"a\" ] \xe7\n\\"}}, true},
		"the reply to it":   {"+OK", event{}, false},
		"without a command": {"+1339518083.107412 [0 lua] ", event{inScript: true}, false},
		"cut short":         {`+1339518083.107412 [0 lua] "TIM`, event{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := parseEvent(c.line)
			if ok != c.ok {
				t.Fatalf("ok is %v", ok)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(event{})); ok && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKeyPattern(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"zimage:job:{job_abcdefghijklmnopqrstuvwxyz}":             "zimage:job:{JOB}",
		"asynq:{exacg-fast}:t:job_abcdefghijklmnopqrstuvwxyz/0/0": "asynq:{exacg-fast}:t:JOB/0/0",
		"asynq:{default}:t:6b1f4f0a-4c1e-4a53-9d6f-0c6f4f2c7a11":  "asynq:{default}:t:UUID",
		"zimage:jobs:of:0123456789abcdef0123456789abcdef":         "zimage:jobs:of:DIGEST",
		"asynq:{default}:processed:2026-11-25":                    "asynq:{default}:processed:DATE",
		"asynq:{default}:t:ABCDEFGHIJKLMNOPQRSTUVWXYZ":            "asynq:{default}:t:TASK",
	} {
		if got := keyPattern(key); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
}
