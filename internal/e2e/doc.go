// Package e2e tests the product as its users meet it: the two real binaries as processes of their own, on a real Redis,
// called over HTTP and through the official OpenAI clients. Only the upstream is simulated.
//
// It holds tests only.
package e2e
