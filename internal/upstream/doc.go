// Package upstream shares what workers know of the upstreams: which are failing and are to be spared calls, and which of
// their API keys were refused and rest. It chooses the key of each call. The protocols are the business of the packages
// below it.
//
// What is known of an upstream is one small hash in Redis that is there only while something is wrong, so that all workers
// together count failures, pause, and send one probe; a breaker in each process would send as many probes, and meet the
// threshold as often, as there are processes. Each worker looks at it together with the queues, and writes only when a
// call fails, or succeeds after a failure.
//
// Redis never holds a key, only a short digest that tells the keys of one upstream apart.
package upstream
