package adapter

import (
	"regexp"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
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

// withoutEchoes takes the order's prompts out of what the upstream said, so that a prompt about a busy street or a
// balance does not decide what a refusal of it means. Short prompts stay: taking "quota" out of a message about the
// quota would do harm, and a word or two rarely matter.
func withoutEchoes(text string, o imagegen.Order) string {
	const minEcho = 12 // bytes
	prompts := []string{o.Prompt}
	if o.NegativePrompt != nil {
		prompts = append(prompts, *o.NegativePrompt)
	}
	for _, p := range prompts {
		if p = oneLine(p); len(p) >= minEcho { // as what was said is one line
			text = strings.ReplaceAll(text, p, " ")
		}
	}
	return text
}
