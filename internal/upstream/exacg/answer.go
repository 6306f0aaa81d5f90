package exacg

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// maxImageURL leaves room for a signed storage URL.
const maxImageURL = 4096

// answer is what can be made out of a body. Its zero value is a body that is no JSON object.
type answer struct {
	object   bool   // it is a JSON object
	success  bool   // it says true
	declined bool   // it says false, or only why it failed
	text     string // what the upstream said
	imageURL string // not checked
}

// parse reads a body without minding fields of a wrong type: an answer is worth as much as can be read of it.
func parse(body []byte) answer {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &fields); err != nil || fields == nil {
		return answer{}
	}
	a := answer{object: true, text: errorText(fields["error"], fields["message"])}
	var data map[string]json.RawMessage
	if json.Unmarshal(fields["data"], &data) == nil {
		a.imageURL = str(data["image_url"])
	}
	switch string(fields["success"]) {
	case "true":
		a.success = true
	case "false", `"false"`, "0":
		a.declined = true
	default:
		a.declined = a.text != "" && a.imageURL == ""
	}
	return a
}

// errorText joins what the two fields say. The error may be an object with a message of its own.
func errorText(errField, messageField json.RawMessage) string {
	first, second := str(errField), str(messageField)
	var object map[string]json.RawMessage
	if json.Unmarshal(errField, &object) == nil {
		first = str(object["message"])
	}
	switch {
	case strings.Contains(first, second):
		return first
	case strings.Contains(second, first):
		return second
	default:
		return first + ": " + second
	}
}

// str is the string in raw, or empty for any other value.
func str(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return strings.TrimFunc(s, unicode.IsSpace)
}

// checkImageURL accepts what can be handed to clients: an absolute http(s) URL without credentials or characters that
// have to be escaped.
func checkImageURL(s string) error {
	if s == "" {
		return errors.New("success without an image_url")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("the image_url is no URL")
	case len(s) > maxImageURL:
		return errors.New("the image_url is too long")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("the image_url is no absolute http or https URL")
	case u.User != nil:
		return errors.New("the image_url holds credentials")
	case strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar || strings.ContainsRune("<>\"\\`", r)
	}):
		return errors.New("the image_url holds characters that a URL cannot")
	}
	return nil
}

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
