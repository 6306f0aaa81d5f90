// Package httpapi is the public HTTP surface: routes, middleware and handlers.
//
// A request is given its path form, an id and a line in the log ([Server.ServeHTTP]); then CORS, authentication and the
// body limit; then a handler decodes it with package openai, hands a job to [Jobs] and encodes what comes back. Handlers
// return errors; one place turns them into replies, so every failure has the same shape, headers and log fields.
//
// Thousands may wait at once, each in [Jobs.Wait] on its connection's own goroutine, whose stack stays small: what is deep
// runs on another one meanwhile (see apart). A goroutine that the package starts ends before the handler that started it.
// It knows no queue.
package httpapi
