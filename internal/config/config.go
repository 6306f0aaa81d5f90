// Package config holds the settings of both processes: what they are, their defaults, and which values are refused.
//
// Settings come from environment variables, which only main reads: it hands os.Environ() to [LoadAPI], [LoadWorker] or
// [LoadStandalone]. All mistakes are reported together, one line each, and no line holds the value of a secret. The
// struct tags are the one place where a variable is described: [Usage] and docs/configuration.md are made from them.
//
// Models, upstreams and client keys come from the YAML file that CONFIG_FILE names. It is parsed, decoded with the place of
// every value, and then checked; ${NAME} in a value is replaced after parsing, so that no variable can make YAML. Each
// process leaves alone the secrets of the other. docs/config.schema.json says to editors what the structs file* say here.
//
// Tags: env (name), envDefault, unset (what is said where there is no default), min and max (inclusive), secret (also
// read from NAME_FILE, never shown), doc (meaning).
package config

import (
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Common are the settings of both processes.
type Common struct {
	// RedisURL is in one of the forms of package redisconn.
	RedisURL Secret `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379/0" secret:"true" doc:"where the queue and the jobs are: redis://, rediss://, unix://, redis-sentinel:// (?master=NAME) or redis-cluster://; with -standalone an embedded Redis is used instead"`
	// ConfigFile is a path; empty: there is one model, the default one, and one upstream.
	ConfigFile string `env:"CONFIG_FILE" unset:"none: the one model Z-Image, and one upstream" doc:"YAML file with the models on offer, the upstreams that draw them, and the names and limits of client keys: see config.example.yaml; give both processes the same"`
	// Models are those of ConfigFile; nil: none is set, and the one there is is the default model.
	Models []imagegen.Model
	// Upstreams are those of ConfigFile, else the one that SD_API_URL and SD_API_KEY stand for: there is at least one.
	Upstreams []Upstream
	// ModelAliases are further names of the first model; empty: none.
	ModelAliases []string `env:"MODEL_ALIASES" unset:"none" doc:"further names of the first model, comma-separated (dall-e-3,gpt-image-1: several clients choose their image path by these names)"`
	// JobRetention counts from the end of a job.
	JobRetention time.Duration `env:"JOB_RETENTION" envDefault:"24h" min:"1s" max:"8760h" doc:"how long a finished job can be read"`
	// ImageStoreURL is a bucket; empty: pictures stay where upstreams put them, and those that come as bytes are in Redis.
	ImageStoreURL Secret `env:"IMAGE_STORE_URL" secret:"true" unset:"none: upstreams' URLs are passed through, uploads are refused" doc:"the bucket where pictures are kept while their job is: s3://bucket, gs://bucket (credentials from the environment, parameters as the Go CDK has them, ?prefix=), file:///directory shared by all processes, or with -standalone mem://"`
	// AllowPrivateAddresses allows connections to this machine and its networks for URLs that came from outside.
	AllowPrivateAddresses bool `env:"ALLOW_PRIVATE_ADDRESSES" envDefault:"false" doc:"fetch pictures from private, loopback and link-local addresses too, and send webhooks there: for an upstream and receivers on your own network"`
	// WebhookSecret is whsec_ and base64; empty: webhooks are refused.
	WebhookSecret Secret `env:"WEBHOOK_SECRET" secret:"true" unset:"none: webhooks are refused" doc:"signs webhooks: whsec_ followed by the base64 of 24 to 64 random bytes"`
	// ShutdownTimeout bounds the drain when the process is told to stop.
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"30s" min:"1ms" max:"1h" doc:"how long a process that is told to stop may go on with its work; what is unfinished then goes back to the queue"`
	// LogLevel is one of debug, info, warn and error.
	LogLevel string `env:"LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
	// LogFormat is json or text.
	LogFormat string `env:"LOG_FORMAT" envDefault:"json" doc:"json or text"`
}

// API are the settings of the api process.
type API struct {
	Common
	// Keys are those without a name; there is at least one here or in ClientKeys.
	Keys []Secret `env:"GATEWAY_API_KEY" secret:"true" unset:"required unless CONFIG_FILE has keys; with -standalone on loopback sk-standalone" doc:"keys that clients present, comma-separated"`
	// ListenAddr is host:port; an empty host means every interface.
	ListenAddr string `env:"LISTEN_ADDR" envDefault:":8080" doc:"public listener; with -standalone the default is 127.0.0.1:8080, and an address that is not loopback needs a key of your own"`
	// AdminAddr is host:port.
	AdminAddr string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:9090" doc:"listener of /metrics, /healthz, /readyz, /debug/pprof/ and, on the api, /queues/; it asks for no key, so keep it private"`
	// PublicURL has no trailing slash; empty: derived from each request.
	PublicURL string `env:"PUBLIC_URL" unset:"derived from the request" doc:"base of the absolute links that the gateway hands out"`
	// ClientKeys are those of ConfigFile.
	ClientKeys []ClientKey
	// SyncTimeout bounds how long a synchronous call waits for its job.
	SyncTimeout time.Duration `env:"SYNC_TIMEOUT" envDefault:"5m" min:"1ms" max:"24h" doc:"longest wait of a synchronous call; its job goes on after that"`
	// StreamKeepalive is the pause between comments of a waiting stream.
	StreamKeepalive time.Duration `env:"STREAM_KEEPALIVE" envDefault:"10s" min:"1ms" max:"1h" doc:"pause after which a waiting stream sends a comment line"`
	// SyncKeepalive is the wait after which a plain call is kept alive; 0: never.
	SyncKeepalive time.Duration `env:"SYNC_KEEPALIVE" envDefault:"45s" min:"0s" max:"24h" doc:"a call that is not streamed and waits longer than this is kept alive through proxies that cut silent connections; 0 turns that off"`
	// HousekeepingReplies answers clients' own prompts with text.
	HousekeepingReplies bool `env:"HOUSEKEEPING_REPLIES" envDefault:"true" doc:"answer the prompts that chat front ends send of their own (titles, tags, follow-up questions, search queries) with text in place of a picture"`
	// MaxBodyBytes bounds a request body.
	MaxBodyBytes int64 `env:"MAX_BODY_BYTES" envDefault:"26214400" min:"1" max:"1073741824" doc:"larger request bodies get 413"`
	// QueueMaxPending bounds the pictures that wait, whoever's they are.
	QueueMaxPending int `env:"QUEUE_MAX_PENDING" envDefault:"1000" min:"1" max:"10000000" doc:"pictures that may wait at once; what comes beyond them is refused with 503 queue_full"`
	// RateLimitRPM is for each key that has no limit of its own; 0: none.
	RateLimitRPM int `env:"RATE_LIMIT_RPM" envDefault:"0" min:"0" max:"1000000" doc:"generation requests a minute, per key, over all api processes; 0 is no limit; a key of CONFIG_FILE may have its own"`
	// CancelOnDisconnect is one of queued, always and never.
	CancelOnDisconnect string `env:"CANCEL_ON_DISCONNECT" envDefault:"queued" doc:"what becomes of a synchronous job that nobody waits for any more: queued drops it if it has not started, always interrupts it too, never lets it go on"`
	// CORSAllowedOrigins are origins such as https://example.com, or *.
	CORSAllowedOrigins []string `env:"CORS_ALLOWED_ORIGINS" envDefault:"*" doc:"origins whose pages may call the gateway, comma-separated; * for all"`
	// TrustProxyHeaders is only safe behind a proxy that sets the headers itself.
	TrustProxyHeaders bool `env:"TRUST_PROXY_HEADERS" envDefault:"false" doc:"take scheme, host and client address from X-Forwarded-* headers; only behind a proxy that sets them"`
}

// Worker are the settings of the worker process.
type Worker struct {
	Common
	// UpstreamKey may be empty where CONFIG_FILE has upstreams, and in standalone mode: there the upstream is simulated.
	UpstreamKey Secret `env:"SD_API_KEY" secret:"true" unset:"required unless CONFIG_FILE has upstreams; -standalone does without" doc:"the upstream's key; it never leaves the worker; with -standalone the upstream is simulated without it"`
	// UpstreamURL is an absolute http(s) URL.
	UpstreamURL string `env:"SD_API_URL" envDefault:"https://sd.exacg.cc/api/v1/generate_image" doc:"the upstream endpoint"`
	// AdminAddr is host:port.
	AdminAddr string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:9091" doc:"listener of /metrics, /healthz, /readyz, /debug/pprof/ and, on the api, /queues/; it asks for no key, so keep it private"`
	// Concurrency is the number of upstream calls at once in this process.
	Concurrency int `env:"WORKER_CONCURRENCY" envDefault:"10" min:"1" max:"10000" doc:"upstream calls at once, per worker process"`
	// UpstreamMaxConcurrency is the number of upstream calls at once over all workers; 0: no limit.
	UpstreamMaxConcurrency int `env:"UPSTREAM_MAX_CONCURRENCY" envDefault:"0" min:"0" max:"10000" doc:"upstream calls at once over all workers; 0 is no limit; a dead worker's share comes back within 60 s"`
	// UpstreamTimeout bounds one upstream call.
	UpstreamTimeout time.Duration `env:"UPSTREAM_TIMEOUT" envDefault:"3m" min:"1ms" max:"1h" doc:"longest duration of one upstream call"`
	// BreakerThreshold is the number of failures in a row that open an upstream's breaker.
	BreakerThreshold int `env:"BREAKER_THRESHOLD" envDefault:"5" min:"1" max:"1000" doc:"failed calls in a row after which an upstream is left alone for a while; its jobs wait in the queue"`
	// BreakerCooldown is the first pause of an open breaker.
	BreakerCooldown time.Duration `env:"BREAKER_COOLDOWN" envDefault:"5s" min:"1ms" max:"60s" doc:"first pause of an upstream that is left alone, doubling up to 60s; one call after each finds out whether it works again"`
	// MaxAttempts counts the upstream calls for one picture, the first included.
	MaxAttempts int `env:"MAX_ATTEMPTS" envDefault:"4" min:"1" max:"100" doc:"upstream calls for one picture, the first included"`
	// RetryBaseDelay is the first pause of the exponential backoff.
	RetryBaseDelay time.Duration `env:"RETRY_BASE_DELAY" envDefault:"1s" min:"1ms" max:"30s" doc:"first pause before a retry, doubling up to 30s, with jitter; an upstream's Retry-After wins"`
	// RetryAmbiguous lets calls be repeated that may have been billed.
	RetryAmbiguous bool `env:"RETRY_AMBIGUOUS" envDefault:"true" doc:"false: a call that was sent and whose outcome is unknown is not repeated, as it may have been billed; the client gets 502 upstream_outcome_unknown"`
}
