package config

import "time"

// The types of upstreams.
const (
	TypeExacg   = "exacg"
	TypeOpenAI  = "openai"
	TypeSDWebUI = "sdwebui"
)

// Upstream is a service that draws: an entry of CONFIG_FILE, or the one that SD_API_URL and SD_API_KEY stand for. The api
// knows its name and type, and nothing else of it.
type Upstream struct {
	Name string // 1 to 64 letters, digits, dots, underscores and hyphens
	Type string // exacg, openai or sdwebui
	URL  string // absolute http(s), without user and password
	// APIKeys are used in turn. An exacg upstream has at least one, except where it is to be simulated.
	APIKeys []Secret
	// MaxConcurrency is the number of calls at once over all workers; 0: no limit.
	MaxConcurrency int
	// Timeout bounds one call.
	Timeout time.Duration
	// RetryAmbiguous lets calls be repeated that may have been billed.
	RetryAmbiguous bool
	// Models are the upstream's own names for models, by our ids: an openai's model, an sdwebui's checkpoint.
	Models map[string]string
}

// impliedUpstream is the one that there is without an entry of CONFIG_FILE.
func impliedUpstream(w Worker) Upstream {
	u := Upstream{Name: impliedName, Type: TypeExacg, URL: w.UpstreamURL, Timeout: w.UpstreamTimeout, RetryAmbiguous: w.RetryAmbiguous}
	if w.UpstreamKey != "" {
		u.APIKeys = []Secret{w.UpstreamKey}
	}
	return u
}

const impliedName = "exacg" // as the default model has it
