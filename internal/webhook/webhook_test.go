package webhook_test

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

// rebound is a name that the resolver of these tests knows: that of a machine on the internet by its looks, and
// 127.0.0.1 when it is dialled.
const rebound = "hooks.rebound.example"

// TestMain gives the package's tests a resolver that knows one name. Nothing is asked outside.
func TestMain(m *testing.M) {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerDNS(server)
		return client, nil
	}}
	goleak.VerifyTestMain(m)
}

// answerDNS serves one connection of a resolver, as DNS over TCP does: each message after its length.
func answerDNS(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // a pipe
	for {
		var length uint16
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		ask := make([]byte, length)
		if binary.Read(conn, binary.BigEndian, ask) != nil {
			return
		}
		reply := dnsReply(ask)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil { //nolint:gosec // short
			return
		}
	}
}

// dnsReply answers the first question of a message: the one name is 127.0.0.1, others are not known.
func dnsReply(ask []byte) []byte {
	const header = 12
	end := header
	var labels []string
	for ask[end] != 0 {
		labels = append(labels, string(ask[end+1:end+1+int(ask[end])]))
		end += 1 + int(ask[end])
	}
	question := ask[header : end+5] // the name's end, type and class
	known := strings.EqualFold(strings.Join(labels, "."), rebound)
	isA := question[len(question)-3] == 1
	reply := append([]byte{ask[0], ask[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	switch {
	case !known:
		reply[3] |= 3 // no such name
	case isA:
		reply[7] = 1
		reply = append(reply, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1)
	}
	return reply
}

const (
	secretText  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" //nolint:gosec // an example of Standard Webhooks
	otherSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

func secret(t *testing.T) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(secretText)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newSender returns a sender that may go to the servers of tests.
func newSender(t *testing.T, tune ...func(*webhook.Config)) *webhook.Sender {
	t.Helper()
	c := webhook.Config{Secret: secret(t), Guard: netguard.Guard{AllowPrivate: true}, Version: "v1.2.3"}
	for _, f := range tune {
		f(&c)
	}
	s, err := webhook.NewSender(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.CloseIdleConnections)
	return s
}
