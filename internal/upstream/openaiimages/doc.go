// Package openaiimages calls any server that speaks the images part of the OpenAI API: /images/generations for pictures,
// /images/edits for changed ones.
//
// It owns that protocol: the requests, the replies with the picture as base64 or as a URL, and the error shapes of those who
// speak it. What the ways a call can end mean is package adapter's.
//
// The shapes are taken from:
//
//   - OpenAI: the official library openai-go v3.96.0 (image.go for requests and replies, internal/apierror for errors). The
//     gpt-image models always reply with base64 and refuse response_format ("Unknown parameter"). Content refused has the
//     code moderation_blocked or content_policy_violation, status 400.
//   - vLLM-Omni: vllm_omni/entrypoints/openai/protocol/images.py at 00a3619b9b66. It replies with base64 only and refuses
//     the response_format url; it reads seed, num_inference_steps, guidance_scale and negative_prompt.
//   - LocalAI: core/http/endpoints/openai/image.go at 032a33de49b3. It replies with a URL on itself unless asked for
//     b64_json; it reads step and seed.
//
// So base64 is asked for, except from models that refuse to be asked; Config.ResponseFormat changes that. OpenAI has no
// seed, steps, guidance or negative prompt and refuses fields it does not know: these go out only where Config.Fields says
// under which name. Without a field for the seed, a drawing's seed is the one that was ordered, which then means nothing.
package openaiimages
