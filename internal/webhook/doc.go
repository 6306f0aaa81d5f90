// Package webhook tells clients' servers how jobs ended: what an event holds, how it is signed and sent, and when it is
// sent again. Signature and headers are those of Standard Webhooks (https://www.standardwebhooks.com).
//
// It makes one try at a time and keeps nothing: whoever calls it remembers what is still to be told. An event may arrive
// more than once, always with the same id. URLs come from clients, so only addresses that netguard allows are dialled,
// redirects are not followed, and of an answer nothing but its status counts. What a URL holds beyond its host may be a
// client's password for its own server: errors do not repeat it.
package webhook
