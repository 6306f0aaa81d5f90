// Package httpapi is the public HTTP surface: routes, middleware and handlers.
//
// A request is given its path form, an id and a line in the log ([Server.ServeHTTP]); then CORS, authentication and the
// body limit; then a handler decodes it with package openai, hands a job to [Jobs] and encodes what comes back. Handlers
// return errors; one place turns them into replies, so every failure has the same shape, headers and log fields.
//
// The package starts no goroutine and knows no queue: whoever waits does so in [Jobs.Wait].
package httpapi
