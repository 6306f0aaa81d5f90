package webhook_test

import (
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	for try, want := range map[int]time.Duration{
		1: 5 * time.Second, 2: 10 * time.Second, 3: 20 * time.Second, 4: 40 * time.Second, 5: 80 * time.Second, 6: 160 * time.Second,
		7: 320 * time.Second, 8: 640 * time.Second, 9: 1280 * time.Second, 10: 2560 * time.Second, 11: time.Hour, 12: time.Hour,
		1000: time.Hour, 1 << 40: time.Hour, 0: 5 * time.Second, -1: 5 * time.Second,
	} {
		spread := false
		for range 100 {
			got := webhook.Delay(try)
			if got < want || got > want+want/10 {
				t.Fatalf("after try %d: %v, want %v or up to a tenth more", try, got, want)
			}
			spread = spread || got != want
		}
		if !spread {
			t.Errorf("after try %d: always %v", try, want)
		}
	}
}

// A receiver that stays away is asked as often as operators are told, however the dice fall.
func TestDelayWithinADay(t *testing.T) {
	t.Parallel()
	tries := 1
	for at := webhook.Delay(1); at <= webhook.GiveUp; at += webhook.Delay(tries) {
		tries++
	}
	if tries < 30 || tries > 34 {
		t.Errorf("%d tries in %v", tries, webhook.GiveUp)
	}
}
