package adapter_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

const key = "sk-live-9f8e7d6c5b4a"

func newCaller(t *testing.T, c adapter.Config) *adapter.Caller {
	t.Helper()
	caller, err := adapter.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caller.CloseIdleConnections)
	return caller
}

// classify returns what becomes of a reply that was read as a.
func classify(t *testing.T, rep adapter.Reply, a adapter.Answer) *imagegen.CallError {
	t.Helper()
	caller := newCaller(t, adapter.Config{Name: "test", Secrets: []string{key}})
	e := caller.Classify(rep, a, imagegen.Order{Prompt: "a cat"})
	if e != nil {
		_ = caller.Fail(e)
	}
	return e
}

// refuse returns the refusal of an upstream that says why.
func refuse(t *testing.T, said string) *imagegen.CallError {
	t.Helper()
	return classify(t, adapter.Reply{Status: http.StatusBadRequest}, adapter.Answer{JSON: true, Declined: true, Text: said})
}

func TestMessagesForClients(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"prompt is too long":                                     "prompt is too long",
		"提示词过长，最多 1000 字":                                        "提示词过长，最多 1000 字",
		"bad ratio 16:9 at 10:30":                                "bad ratio 16:9 at 10:30",
		"width:4096 exceeds 2048, cfg 7.5":                       "width:4096 exceeds 2048, cfg 7.5",
		"data.prompt: required":                                  "data.prompt: required",
		"two\nlines\t and  \u0000 spaces ":                       "two lines and spaces",
		"see https://sd.example.com/help?x=1 for help":           "see [url] for help",
		"见http://10.0.0.1/a。谢谢":                                  "见[url]。谢谢",
		"worker 10.2.3.4:8188 failed":                            "worker [address] failed",
		"worker [fd00::12]:8188 failed":                          "worker [address]:8188 failed",
		"worker fe80::1%eth0 failed":                             "worker [address] failed",
		"worker ::1 failed":                                      "worker [address] failed",
		"upstream gpu-7.cluster.internal:9000/x is full":         "upstream [address] is full",
		"ask admin@sd.example.com":                               "ask [address]",
		"no route to sd.exacg.cc":                                "no route to [address]",
		"localhost:7860 refused":                                 "[address] refused",
		"gpu-3:8188 refused":                                     "[address] refused",
		"comfyui:8188 refused":                                   "[address] refused",
		"key sk-proj-AbCdEf123456 is used":                       "key [key] is used",
		"Authorization: Bearer abc.def.ghi":                      "[key]",
		"bad token=abcd1234":                                     "bad [key]",
		"id 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b":            "id [key]",
		"hidden " + key[:6] + "\u200b" + key[6:] + " here":       "hidden [key] here",
		"echo " + key:                                            "echo [key]",
		"echo " + strings.ToUpper("x") + key + "x":               "echo X[key]x",
		"echo " + base64.StdEncoding.EncodeToString([]byte(key)): "echo [key]",
	} {
		t.Run(said[:min(len(said), 20)], func(t *testing.T) {
			t.Parallel()
			e := refuse(t, said)
			if e == nil || e.Message != want {
				t.Errorf("got  %q\nwant %q", e.Message, want)
			}
		})
	}
}

func TestMessagesAreCutAfterTheyAreCleaned(t *testing.T) {
	t.Parallel()
	for fill := 480; fill <= 620; fill += 2 {
		said := strings.Repeat("字 ", fill/4) + key + strings.Repeat(" 字", 300)
		e := refuse(t, said)
		if got := utf8.RuneCountInString(e.Message); got > 300 {
			t.Fatalf("got %d characters, want at most 300", got)
		}
		for _, text := range []string{e.Message, e.Error()} {
			if strings.Contains(text, key[:6]) {
				t.Fatalf("part of the key is in %q", text)
			}
		}
	}
}

func TestHugeMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ said, want string }{
		"of text":           {strings.Repeat("太长了 ", 100_000), strings.Repeat("太长了 ", 74) + "太长了…"},
		"of one address":    {"see http://10.0.0.1/" + strings.Repeat("a.b:", 200_000), "see"},
		"of many addresses": {strings.Repeat("10.0.0.1 ", 100_000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := refuse(t, c.said)
			if e == nil || c.want != "" && e.Message != c.want || strings.Contains(e.Message, "10.0") {
				t.Errorf("got %q, want %q", e.Message, c.want)
			}
		})
	}
}

// leaky fails as a broken transport or a garbled answer may: with whatever it was sent in its text.
type leaky struct{}

func (leaky) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("malformed HTTP response %q: %w", r.Header.Get("Authorization"), errors.ErrUnsupported)
}

func TestTheKeyStaysOutOfTheOperatorsErrorToo(t *testing.T) {
	t.Parallel()
	awkward := `a"b\c+d/e=` + key
	caller := newCaller(t, adapter.Config{Secrets: []string{awkward}, Transport: leaky{}})
	ctx, cancel := caller.WithTimeout(t.Context())
	defer cancel()
	_, failure := caller.Call(ctx, adapter.Request{URL: "http://upstream.test/?key=" + url.QueryEscape(awkward), Auth: adapter.Bearer(awkward)})
	if failure == nil {
		t.Fatal("got a reply from a broken transport")
	}
	err := caller.Fail(failure)
	for e := err; e != nil; e = errors.Unwrap(e) {
		text := fmt.Sprintf("%v %+v %q", e, e, e.Error())
		if strings.Contains(text, key) {
			t.Errorf("the key is in %T: %s", e, text)
		}
	}
	if !strings.Contains(err.Error(), "malformed HTTP response") {
		t.Errorf("got %q, want the rest of the text to stay", err)
	}
}
