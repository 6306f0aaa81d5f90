package e2e_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

func responseParams(prompt string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: "Z-Image", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(prompt)},
		Tools: []responses.ToolUnionParam{{OfImageGeneration: &responses.ToolImageGenerationParam{Size: "256x256", Quality: "low"}}},
	}
}

// wantDrawn checks a response that came to its good end.
func wantDrawn(t *testing.T, r *responses.Response) {
	t.Helper()
	if r.Status != responses.ResponseStatusCompleted || !onePicture.MatchString(r.OutputText()) || r.Error.Code != "" {
		t.Errorf("response is %s, says %q, failed with %+v", r.Status, r.OutputText(), r.Error)
	}
	if len(r.Output) != 2 || r.Output[0].Type != "image_generation_call" || r.Output[1].Type != "message" {
		t.Fatalf("output = %+v", r.Output)
	}
	wantPNG(t, r.Output[0].AsImageGenerationCall().Result)
}

func openAIResponse(t *testing.T, client openai.Client) {
	t.Helper()
	drawn, err := client.Responses.New(t.Context(), responseParams("a cat"))
	if err != nil {
		t.Fatal(err)
	}
	wantDrawn(t, drawn)
	again, err := client.Responses.Get(t.Context(), drawn.ID, responses.ResponseGetParams{})
	if err != nil {
		t.Fatal(err)
	}
	wantDrawn(t, again)
}

func openAIResponseToParts(t *testing.T, client openai.Client) {
	t.Helper()
	params := responseParams("")
	params.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{
		responses.ResponseInputItemParamOfMessage("a dog", responses.EasyInputMessageRoleUser),
		responses.ResponseInputItemParamOfMessage(responses.ResponseInputMessageContentListParam{
			responses.ResponseInputContentParamOfInputText("a cat"),
			responses.ResponseInputContentParamOfInputText("on a roof"),
		}, responses.EasyInputMessageRoleUser),
	}}
	drawn, err := client.Responses.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	wantDrawn(t, drawn)
	if !strings.HasPrefix(drawn.OutputText(), "![a cat on a roof](") {
		t.Errorf("drawn: %s", drawn.OutputText())
	}
}

// background starts a response that is not waited for.
func background(t *testing.T, client openai.Client, prompt string) *responses.Response {
	t.Helper()
	params := responseParams(prompt)
	params.Background = openai.Bool(true)
	var raw *http.Response
	queued, err := client.Responses.New(t.Context(), params, option.WithResponseInto(&raw))
	if err != nil {
		t.Fatal(err)
	}
	if queued.Status != responses.ResponseStatusQueued || len(queued.Output) != 0 || !queued.JSON.Output.Valid() {
		t.Errorf("queued response = %s", queued.RawJSON())
	}
	if ms, err := strconv.Atoi(raw.Header.Get("Openai-Poll-After-Ms")); err != nil || ms <= 0 {
		t.Errorf("openai-poll-after-ms: %v", err)
	}
	return queued
}

// polled asks for a response until it has an end.
func polled(t *testing.T, client openai.Client, id string) *responses.Response {
	t.Helper()
	var r *responses.Response
	waitUntil(t, "the response has an end", patience, func() bool {
		var err error
		if r, err = client.Responses.Get(t.Context(), id, responses.ResponseGetParams{}); err != nil {
			t.Fatal(err)
		}
		return r.Status != responses.ResponseStatusQueued && r.Status != responses.ResponseStatusInProgress
	})
	return r
}

func openAIResponsePolled(t *testing.T, client openai.Client) {
	t.Helper()
	wantDrawn(t, polled(t, client, background(t, client, "a cat").ID))
}

func openAIResponseCancelled(t *testing.T, client openai.Client) {
	t.Helper()
	queued := background(t, client, "a slow picture")
	cancelled, err := client.Responses.Cancel(t.Context(), queued.ID)
	if err != nil || cancelled.ID != queued.ID {
		t.Fatalf("cancel: %+v, %v", cancelled, err)
	}
	if end := polled(t, client, queued.ID); end.Status != responses.ResponseStatusCancelled || len(end.Output) != 0 {
		t.Errorf("response = %s", end.RawJSON())
	}
}

func openAIResponseStreamed(t *testing.T, client openai.Client) {
	t.Helper()
	stream := client.Responses.NewStreaming(t.Context(), responseParams("a cat"))
	defer stream.Close() //nolint:errcheck // it was read
	var events []responses.ResponseStreamEventUnion
	var text strings.Builder
	for stream.Next() {
		event := stream.Current()
		events = append(events, event)
		if event.SequenceNumber != events[0].SequenceNumber+int64(len(events)-1) {
			t.Errorf("event %d (%s) has number %d", len(events)-1, event.Type, event.SequenceNumber)
		}
		if event.Type == "response.output_text.delta" {
			text.WriteString(event.Delta)
		}
	}
	if err := stream.Err(); err != nil || len(events) == 0 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	first, last := events[0], events[len(events)-1]
	if first.Type != "response.created" || last.Type != "response.completed" || first.Response.ID != last.Response.ID {
		t.Fatalf("from %s to %s", first.Type, last.Type)
	}
	wantDrawn(t, &last.Response)
	if text.String() != last.Response.OutputText() {
		t.Errorf("the deltas are %q, the text %q", text.String(), last.Response.OutputText())
	}
}

func openAIResponseFails(t *testing.T, client openai.Client) {
	t.Helper()
	_, err := client.Responses.New(t.Context(), responseParams("please refuse this"))
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != http.StatusBadRequest || e.Code != "upstream_rejected" {
		t.Errorf("error = %v", err)
	}
	failed := polled(t, client, background(t, client, "please refuse this").ID)
	if failed.Status != responses.ResponseStatusFailed || failed.Error.Code != "upstream_rejected" || failed.Error.Message == "" {
		t.Errorf("response = %s", failed.RawJSON())
	}
}
