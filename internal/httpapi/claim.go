package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

const (
	// idempotencyKey is the header in which a client names a request, to send it again without fear.
	idempotencyKey    = "Idempotency-Key"
	maxIdempotencyKey = 255
	// retryCount is the header in which official SDKs count their automatic retries, from 0.
	retryCount = "X-Stainless-Retry-Count"
)

// claim says which earlier requests this one repeats. It is for the handlers that have read the body.
func (x *exchange) claim(r *http.Request) (job.Claim, error) {
	body := hex.EncodeToString(x.digest[:])
	if key := r.Header.Get(idempotencyKey); key != "" {
		if utf8.RuneCountInString(key) > maxIdempotencyKey {
			return job.Claim{}, &imagegen.Error{
				Kind: imagegen.KindInvalidValue, Param: idempotencyKey,
				Message: fmt.Sprintf("The header %s may hold %d characters at most.", idempotencyKey, maxIdempotencyKey),
			}
		}
		return job.Claim{Mode: job.ClaimByKey, Key: claimName("key", x.owner, r.URL.Path, key), Body: body}, nil
	}
	count := r.Header.Get(retryCount)
	if count == "" {
		return job.Claim{Mode: job.ClaimNothing}, nil
	}
	c := job.Claim{Mode: job.ClaimFirst, Key: claimName("body", x.owner, r.URL.Path, body), Body: body}
	if strings.Trim(count, "0") != "" {
		c.Mode = job.ClaimRetry
	}
	return c, nil
}

// claimName digests words so that no two lists of them meet.
func claimName(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		sum := sha256.Sum256([]byte(w))
		_, _ = h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
