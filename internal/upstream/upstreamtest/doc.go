// Package upstreamtest is the suite that every provider passes, whatever its protocol: what each way of failing must be
// called, what may have been paid for, and that no key gets out.
//
// A provider brings a [Protocol], which makes a server misbehave in its own words; [Run] does the rest. What only one
// protocol has (fields, texts, bounds) is tested beside that provider.
package upstreamtest
