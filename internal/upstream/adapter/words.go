package adapter

import (
	"regexp"
	"strings"
)

var busyWords = []string{"busy", "try again", "too many", "rate limit", "繁忙", "稍后", "排队"}

// saysBusy reports whether a refusal means later, not never.
func saysBusy(text string) bool {
	text = strings.ToLower(text)
	for _, w := range busyWords {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

var quotaWords = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:points|quota|balance|(?:insufficient|not enough|no|out of) (?:credits?|point)|credits? (?:exhausted|used up))(?:[^a-z]|$)|积分|点数|余额|额度|配额`)

// saysQuota reports whether a refusal is about our account's means. "Points are short, try again later" is one; a rate
// limit is not, even where its text calls it a quota.
func saysQuota(text string) bool {
	return quotaWords.MatchString(text) && !strings.Contains(strings.ToLower(text), "rate limit")
}
