package worker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "base"))
		attempt := rapid.IntRange(1, 100).Draw(t, "attempt")
		full := maxBackoff
		if attempt < 20 {
			full = min(base<<(attempt-1), maxBackoff)
		}
		if got := backoff(base, attempt, 0); got < full/2 || got > full {
			t.Fatalf("pause after attempt %d from %v = %v, want %v to %v", attempt, base, got, full/2, full)
		}
		if got := backoff(base, attempt, 42*time.Second); got != 42*time.Second {
			t.Fatalf("pause = %v, want what the upstream asked for", got)
		}
	})
}
