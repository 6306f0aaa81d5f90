package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// told is what a caller was told in the end.
type told struct {
	prompt, content string
	err             error
}

// The API process that official clients wait at dies. Their own retries come to another one, find the jobs that were
// made, and bring every caller its picture: each is drawn once.
func TestClientsOfAKilledAPI(t *testing.T) {
	t.Parallel()
	node := nodePath(t)
	const goClients, nodeCalls = 12, 4
	const all = goClients + nodeCalls
	upstream, release := held()
	defer release()
	first := newGateway(t, setup{workerEnv: []string{"WORKER_CONCURRENCY=20"}, upstream: upstream})
	second := first.beside()
	url, relay := startRelay(t, first, second)

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	results := make(chan told, all)
	client := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithHTTPClient(first.client()), option.WithAPIKey(clientKey))
	for i := range goClients {
		go func() { results <- goClient(ctx, client, fmt.Sprintf("a cat of Go %d", i)) }()
	}
	var prompts []string
	for i := range nodeCalls {
		prompts = append(prompts, fmt.Sprintf("a cat of JavaScript %d", i))
	}
	go nodeClient(ctx, node, url, prompts, results)

	waitUntil(t, "all pictures are being drawn", patience, func() bool { return first.upstream.InFlight() == all })
	first.waiters(all)
	first.api.kill()
	second.joined(all)
	second.waiters(all)
	release()
	seen := map[string]bool{}
	for range all {
		r := <-results
		if r.err != nil || !onePicture.MatchString(r.content) || !strings.HasPrefix(r.content, "!["+r.prompt+"](") {
			t.Errorf("the caller of %q got %q, %v", r.prompt, r.content, r.err)
		}
		seen[r.content] = true
	}
	if jobs, calls := len(second.jobs()), first.upstream.Calls(); len(seen) != all || jobs != all || calls != all {
		t.Errorf("%d pictures of %d jobs and %d upstream calls, want %d of each", len(seen), jobs, calls, all)
	}
	t.Logf("%d connections to the first, %d to the second", relay.took[0].Load(), relay.took[1].Load())
}

// goClient makes a chat call with the official Go client as it comes.
func goClient(ctx context.Context, client openai.Client, prompt string) told {
	reply, err := client.Chat.Completions.New(ctx, chatParams(prompt))
	if err != nil {
		return told{prompt: prompt, err: err}
	}
	return told{prompt: prompt, content: reply.Choices[0].Message.Content}
}

// nodeClient makes chat calls with the official JavaScript client as it comes.
func nodeClient(ctx context.Context, node, url string, prompts []string, results chan<- told) {
	cmd := exec.CommandContext(ctx, node, append([]string{"several.mjs"}, prompts...)...) //nolint:gosec // Node, from PATH
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(), "GATEWAY_URL="+url, "GATEWAY_KEY="+clientKey)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	contents := make([]string, len(prompts))
	if err == nil {
		err = json.Unmarshal(out, &contents)
	}
	for i, prompt := range prompts {
		results <- told{prompt, contents[i], err}
	}
}
