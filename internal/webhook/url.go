package webhook

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
)

// maxURL is the length in bytes of the longest URL that is taken.
const maxURL = 2048

// CheckURL refuses a webhook_url that no event would be sent to. It asks no DNS: what a name stands for is looked at
// whenever it is dialled. The error is nil or fit for the client as it is, and does not repeat the URL.
func CheckURL(guard netguard.Guard, raw string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("webhook_url must be at most %d bytes long", maxURL)
	}
	u, err := guard.Check(raw)
	switch {
	case errors.Is(err, netguard.ErrAddress):
		return errors.New("webhook_url must not name a private, loopback or link-local address")
	case err != nil:
		return errors.New("webhook_url must be an absolute http or https URL without user name and password")
	case !validPort(u):
		return errors.New("webhook_url must name a port from 1 to 65535, or none")
	}
	return nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}
