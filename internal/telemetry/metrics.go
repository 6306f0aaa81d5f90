package telemetry

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Upper bounds of histogram buckets, in seconds: a request may take from a cached reply to SYNC_TIMEOUT, a wait in the
// queue from a millisecond to hours, a call to an upstream 5 to 120 s, a try to deliver a webhook up to 15 s.
var (
	requestBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320}
	waitBuckets    = []float64{.001, .0025, .005, .01, .025, .1, .5, 1, 5, 15, 60, 300, 1800, 7200}
	attemptBuckets = []float64{.1, .25, .5, 1, 2.5, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180}
	webhookBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 20}
	jobBuckets     = []float64{.1, .5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 120, 300, 1800, 7200}
)

// outcomes are the values of the label outcome.
var outcomes = []imagegen.Outcome{
	imagegen.OutcomeOK, imagegen.OutcomeRefused, imagegen.OutcomeAuth, imagegen.OutcomeQuota, imagegen.OutcomeRateLimited,
	imagegen.OutcomeTimeout, imagegen.OutcomeNetwork, imagegen.OutcomeStatus, imagegen.OutcomeMalformed, imagegen.OutcomeCancelled,
}

// copyOutcomes are the values of the label outcome of copies.
var copyOutcomes = []string{"kept", "failed", "refused", "passed_through"}

// webhookOutcomes are the values of the label outcome of webhooks.
var webhookOutcomes = []string{"delivered", "failed", "given_up"}

// places are the values of the label place.
var places = []string{"bucket", "redis", "fallback"}

// Metrics are the instruments of one process. All methods may be called at the same time.
type Metrics struct {
	registry *prometheus.Registry

	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	jobsSubmitted   *prometheus.CounterVec
	jobsRefused     *prometheus.CounterVec
	jobsJoined      *prometheus.CounterVec
	jobsFinished    *prometheus.CounterVec
	jobDuration     *prometheus.HistogramVec
	queueWait       *prometheus.HistogramVec
	attempts        *prometheus.CounterVec
	attemptDuration *prometheus.HistogramVec
	inFlight        *prometheus.GaugeVec
	retries         *prometheus.CounterVec
	moves           *prometheus.CounterVec
	copies          *prometheus.CounterVec
	copyDuration    *prometheus.HistogramVec
	paused          *prometheus.GaugeVec
	keysResting     *prometheus.GaugeVec
	pointsUsed      *prometheus.CounterVec
	pointsLeft      *prometheus.GaugeVec
	panics          *prometheus.CounterVec
	fetches         *prometheus.CounterVec
	fetchDuration   *prometheus.HistogramVec
	stored          *prometheus.CounterVec
	housekeeping    prometheus.Counter
	webhooks        *prometheus.CounterVec
	webhookDuration *prometheus.HistogramVec
}

// NewMetrics returns the instruments of a process of the given version, in a registry of their own beside those of the Go
// runtime and the operating system.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry:        prometheus.NewRegistry(),
		requests:        counter("zimage_http_requests_total", "HTTP requests answered.", "route", "method", "status"),
		requestDuration: histogram("zimage_http_request_duration_seconds", "Time to answer an HTTP request, its wait included.", requestBuckets, "route", "method", "status"),
		jobsSubmitted:   counter("zimage_jobs_submitted_total", "Jobs accepted.", "class"),
		jobsRefused:     counter("zimage_jobs_refused_total", "Requests for a job refused for a limit.", "reason"),
		jobsJoined:      counter("zimage_jobs_joined_total", "Requests that got the job of an earlier one, by idempotency key or as its client's retry.", "by"),
		jobsFinished:    counter("zimage_jobs_finished_total", "Jobs that reached a final state.", "status"),
		jobDuration:     histogram("zimage_job_duration_seconds", "Time from a job's acceptance to its final state.", jobBuckets, "status"),
		queueWait:       histogram("zimage_queue_wait_seconds", "Time that a picture waited in the queue for its first start.", waitBuckets, "lane"),
		attempts:        counter("zimage_upstream_attempts_total", "Calls to an upstream that ended.", "upstream", "outcome"),
		attemptDuration: histogram("zimage_upstream_attempt_duration_seconds", "Duration of calls to an upstream.", attemptBuckets, "upstream", "outcome"),
		inFlight:        gauge("zimage_upstream_in_flight", "Calls to an upstream under way.", "upstream"),
		retries:         counter("zimage_upstream_retries_total", "Pictures put back into the queue for another attempt, by the outcome that caused it.", "upstream", "outcome"),
		moves:           counter("zimage_upstream_moves_total", "Pictures sent from one upstream to another.", "from", "to"),
		copies:          counter("zimage_picture_copies_total", "Drawn pictures copied into the image store.", "outcome"),
		copyDuration:    histogram("zimage_picture_copy_duration_seconds", "Time to fetch, convert and store a drawn picture.", requestBuckets, "outcome"),
		paused:          gauge("zimage_upstream_paused", "1 while an upstream is spared calls because it fails.", "upstream"),
		keysResting:     gauge("zimage_upstream_key_resting", "1 while an API key rests because it was refused; keys are numbered as they are configured.", "upstream", "key"),
		pointsUsed:      counter("zimage_upstream_points_used_total", "Points that an upstream says it took for pictures.", "upstream", "key"),
		pointsLeft:      gauge("zimage_upstream_remaining_points", "Points that an upstream said last are left.", "upstream", "key"),
		panics:          counter("zimage_panics_total", "Panics caught.", "where"),
		fetches:         counter("zimage_picture_fetches_total", "Finished pictures fetched for replies that hold their bytes.", "outcome"),
		stored:          counter("zimage_pictures_stored_total", "Pictures kept, by place; fallback is Redis where the bucket failed.", "place"),
		fetchDuration:   histogram("zimage_picture_fetch_duration_seconds", "Time to fetch and convert a finished picture.", requestBuckets, "outcome"),
		housekeeping:    prometheus.NewCounter(prometheus.CounterOpts{Name: "zimage_housekeeping_replies_total", Help: "Clients' own prompts, such as for titles, answered with text."}),
		webhooks:        counter("zimage_webhook_deliveries_total", "Tries to deliver a webhook.", "outcome"),
		webhookDuration: histogram("zimage_webhook_delivery_duration_seconds", "Duration of tries to deliver a webhook.", webhookBuckets, "outcome"),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "zimage_build_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info,
		m.requests, m.requestDuration, m.jobsSubmitted, m.jobsRefused, m.jobsJoined, m.jobsFinished, m.jobDuration, m.queueWait,
		m.attempts, m.attemptDuration, m.inFlight, m.retries, m.panics, m.fetches, m.fetchDuration, m.stored, m.housekeeping,
		m.webhooks, m.webhookDuration, m.moves, m.copies, m.copyDuration, m.paused, m.keysResting, m.pointsUsed, m.pointsLeft,
	)
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// InitMoves makes the series of pictures that go from one upstream to another before the first one, for the same reason.
func (m *Metrics) InitMoves(from, to string) { m.moves.WithLabelValues(from, to) }

// InitUpstream makes the series of an upstream with so many keys before its first call, so that their rates start at 0 and
// an alert on an outcome sees its first occurrence.
func (m *Metrics) InitUpstream(name string, keys int) {
	m.inFlight.WithLabelValues(name)
	for _, o := range copyOutcomes {
		m.copies.WithLabelValues(o)
	}
	m.paused.WithLabelValues(name)
	for i := range keys {
		m.keysResting.WithLabelValues(name, strconv.Itoa(i+1))
	}
	for _, o := range outcomes {
		m.attempts.WithLabelValues(name, string(o))
		m.retries.WithLabelValues(name, string(o))
	}
}

// InitWebhooks makes the series of webhooks before the first delivery, for the same reason.
func (m *Metrics) InitWebhooks() {
	for _, o := range webhookOutcomes {
		m.webhooks.WithLabelValues(o)
	}
}

// RequestDone counts an HTTP request. The route is a pattern, not a path, and the method a known one.
func (m *Metrics) RequestDone(route, method string, status int, d time.Duration) {
	code := strconv.Itoa(status)
	m.requests.WithLabelValues(route, method, code).Inc()
	m.requestDuration.WithLabelValues(route, method, code).Observe(d.Seconds())
}

// PictureFetched counts a picture that was fetched for a reply in d, or could not be.
func (m *Metrics) PictureFetched(ok bool, d time.Duration) {
	outcome := "ok"
	if !ok {
		outcome = "failed"
	}
	m.fetches.WithLabelValues(outcome).Inc()
	m.fetchDuration.WithLabelValues(outcome).Observe(d.Seconds())
}

// InitStore makes the series of the image store before its first picture, for the same reason.
func (m *Metrics) InitStore() {
	for _, p := range places {
		m.stored.WithLabelValues(p)
	}
}

// PictureStored counts a picture that was kept: in the bucket, in redis as there is none, or there as a fallback.
func (m *Metrics) PictureStored(place string) { m.stored.WithLabelValues(place).Inc() }

// HousekeepingAnswered counts a client's own prompt that was answered with text.
func (m *Metrics) HousekeepingAnswered() { m.housekeeping.Inc() }

// JobSubmitted counts an accepted job.
func (m *Metrics) JobSubmitted(class string) { m.jobsSubmitted.WithLabelValues(class).Inc() }

// JobRefused counts a request for a job that was refused for a limit.
func (m *Metrics) JobRefused(reason string) { m.jobsRefused.WithLabelValues(reason).Inc() }

// JobJoined counts a request that got the job of an earlier one, by idempotency key or as its client's own retry.
func (m *Metrics) JobJoined(by string) { m.jobsJoined.WithLabelValues(by).Inc() }

// JobFinished counts a job that reached a final state, d after it was accepted.
func (m *Metrics) JobFinished(status string, d time.Duration) {
	m.jobsFinished.WithLabelValues(status).Inc()
	m.jobDuration.WithLabelValues(status).Observe(d.Seconds())
}

// QueueWait notes how long a picture waited for its first start.
func (m *Metrics) QueueWait(lane string, d time.Duration) {
	m.queueWait.WithLabelValues(lane).Observe(d.Seconds())
}

// AttemptStarted counts a call to an upstream as under way, until AttemptDone.
func (m *Metrics) AttemptStarted(upstream string) { m.inFlight.WithLabelValues(upstream).Inc() }

// AttemptDone counts a call to an upstream that ended after d.
func (m *Metrics) AttemptDone(upstream, outcome string, d time.Duration) {
	m.inFlight.WithLabelValues(upstream).Dec()
	m.attempts.WithLabelValues(upstream, outcome).Inc()
	m.attemptDuration.WithLabelValues(upstream, outcome).Observe(d.Seconds())
}

// PictureRetried counts a picture that gets another attempt after one with the outcome.
func (m *Metrics) PictureRetried(upstream, outcome string) {
	m.retries.WithLabelValues(upstream, outcome).Inc()
}

// PictureMoved counts a picture that goes from one upstream to another.
func (m *Metrics) PictureMoved(from, to string) { m.moves.WithLabelValues(from, to).Inc() }

// PictureCopied counts a drawn picture that was stored in d: kept, failed (it is tried again), refused (it cannot be handed
// out) or passed_through (its upstream's own address is handed out).
func (m *Metrics) PictureCopied(outcome string, d time.Duration) {
	m.copies.WithLabelValues(outcome).Inc()
	m.copyDuration.WithLabelValues(outcome).Observe(d.Seconds())
}

// UpstreamPaused notes whether an upstream is spared calls.
func (m *Metrics) UpstreamPaused(upstream string, paused bool) {
	m.paused.WithLabelValues(upstream).Set(oneIf(paused))
}

// KeyRests notes whether a key of an upstream, numbered from 1, rests.
func (m *Metrics) KeyRests(upstream string, key int, rests bool) {
	m.keysResting.WithLabelValues(upstream, strconv.Itoa(key)).Set(oneIf(rests))
}

// Points notes what an upstream says of the account that a key belongs to; nil is nothing.
func (m *Metrics) Points(upstream string, key int, used, left *float64) {
	if used != nil && *used > 0 {
		m.pointsUsed.WithLabelValues(upstream, strconv.Itoa(key)).Add(*used)
	}
	if left != nil {
		m.pointsLeft.WithLabelValues(upstream, strconv.Itoa(key)).Set(*left)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// WebhookDone counts a try to deliver a webhook that ended after d: delivered, failed (it is tried again) or given_up.
func (m *Metrics) WebhookDone(outcome string, d time.Duration) {
	m.webhooks.WithLabelValues(outcome).Inc()
	m.webhookDuration.WithLabelValues(outcome).Observe(d.Seconds())
}

// Panicked counts a panic that was caught. The place is one of few, such as the name of a handler.
func (m *Metrics) Panicked(where string) { m.panics.WithLabelValues(where).Inc() }

// RegisterWaiters lets count tell, at each scrape, how many callers wait for a job. It is called once.
func (m *Metrics) RegisterWaiters(count func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "zimage_waiters", Help: "Callers that wait for a job."},
		func() float64 { return float64(count()) },
	))
}

// Handler serves the metrics to Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
