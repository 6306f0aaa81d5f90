package adapter_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// verdictOn is what the words of a refusal with 400 decide.
type verdictOn struct {
	Outcome  imagegen.Outcome
	Kind     imagegen.Kind
	Doubtful bool
}

var (
	rejected = verdictOn{imagegen.OutcomeRefused, imagegen.KindUpstreamRejected, false}
	noPoints = verdictOn{imagegen.OutcomeQuota, imagegen.KindUpstreamAccount, true}
	comeBack = verdictOn{imagegen.OutcomeRateLimited, imagegen.KindUpstreamError, false}
)

func TestTheClientsOwnWordsDecideNothing(t *testing.T) {
	t.Parallel()
	prompt := func(p string) imagegen.Order { return imagegen.Order{Prompt: p} }
	field := func(value string) imagegen.Order {
		return imagegen.Order{Prompt: "a cat", Extra: map[string]json.RawMessage{"style": json.RawMessage(value)}}
	}
	negative := "Points, dots"
	for name, c := range map[string]struct {
		order imagegen.Order
		said  string
		want  verdictOn
	}{
		"a field's value in quotes":            {field(`"balance"`), `unknown style 'balance'`, rejected},
		"a field's value without":              {field(`"balance"`), `unknown style: balance`, rejected},
		"a field's value in capitals":          {field(`"Balance"`), `unknown style BALANCE.`, rejected},
		"a field's value in an address":        {field(`"balance"`), `no file styles/balance.json`, rejected},
		"a field's value twice":                {field(`"quota"`), `quota: no such style as "quota"`, rejected},
		"a value of several words":             {field(`"no  credit\nleft"`), `style 'no credit left' is unknown`, rejected},
		"a value and a part of it":             {field(`["quota","quota of it"]`), `neither 'quota of it' nor 'quota'`, rejected},
		"a value in a list in an object":       {field(`{"a":[1,{"b":"积分"}]}`), `未知风格：积分。`, rejected},
		"the name in an object":                {field(`{"a":{"quota":1}}`), `unknown key 'quota'`, rejected},
		"the name of the field":                {imagegen.Order{Extra: map[string]json.RawMessage{"points": []byte("1")}}, `unknown field points`, rejected},
		"the address of the picture":           {imagegen.Order{Source: "https://x.test/quota/a.png"}, `cannot load https://x.test/quota/a.png`, rejected},
		"a short prompt":                       {prompt("balance"), `prompt "balance" is not allowed`, rejected},
		"a short prompt that says busy":        {prompt("too many"), `prompt "too many" is not allowed`, rejected},
		"a short negative prompt":              {imagegen.Order{NegativePrompt: &negative}, `not allowed: points, dots`, rejected},
		"a long prompt":                        {prompt("a busy street, points of light"), `no: a busy street, points of light!`, rejected},
		"a long prompt within a word":          {prompt("a busy street, points of light"), `xa busy street, points of lightx`, rejected},
		"a long prompt, cut off":               {prompt("a busy street, points of light, my balance"), `no: "a busy street, points of li…"`, rejected},
		"a prompt longer than what is read":    {prompt(strings.Repeat("my balance, ", 2000)), `no: ` + strings.Repeat("my balance, ", 2000), rejected},
		"a part of a longer word":              {field(`"points"`), `remaining_points is 0`, noPoints},
		"beside another word of Chinese":       {field(`"余额"`), `余额不足`, noPoints},
		"another word":                         {field(`"balance"`), `insufficient points`, noPoints},
		"the beginning of a word":              {field(`"bal"`), `the balance is 0`, noPoints},
		"the end of a word":                    {prompt("ance"), `the balance is 0`, noPoints},
		"the same word of its own beside it":   {field(`"quota"`), `'quota' refused: balance is 0`, noPoints},
		"a number":                             {field(`3`), `3 points left`, noPoints},
		"nothing to be taken out":              {field(`""`), `balance`, noPoints},
		"a mark":                               {field(`"."`), `no points.`, noPoints},
		"a word about the queue":               {field(`"queue"`), `try again when the queue is shorter`, comeBack},
		"a prompt that begins as what is said": {prompt("not enough points, she said"), `not enough money on your balance`, noPoints},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller := newCaller(t, adapter.Config{Name: "test"})
			e := caller.Classify(adapter.Reply{Status: http.StatusBadRequest}, adapter.Answer{JSON: true, Declined: true, Text: c.said}, c.order)
			if e == nil {
				t.Fatal("got a picture, want a failure")
			}
			if diff := cmp.Diff(c.want, verdictOn{e.Outcome, e.Kind, e.Doubtful}); diff != "" {
				t.Errorf("%v (-want +got):\n%s", e, diff)
			}
		})
	}
}

func TestAStatusLeavesNoDoubt(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]verdictOn{
		http.StatusUnauthorized:    {imagegen.OutcomeAuth, imagegen.KindUpstreamAccount, false},
		http.StatusForbidden:       {imagegen.OutcomeAuth, imagegen.KindUpstreamAccount, false},
		http.StatusPaymentRequired: {imagegen.OutcomeQuota, imagegen.KindUpstreamAccount, false},
	} {
		e := classify(t, adapter.Reply{Status: status}, adapter.Answer{JSON: true, Declined: true, Text: "insufficient quota"})
		if e == nil {
			t.Fatalf("%d: got a picture, want a failure", status)
		}
		if diff := cmp.Diff(want, verdictOn{e.Outcome, e.Kind, e.Doubtful}); diff != "" {
			t.Errorf("%d (-want +got):\n%s", status, diff)
		}
	}
}
