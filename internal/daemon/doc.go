// Package daemon builds the processes out of the other packages, starts them and stops them in the right order. It is
// the only place, beside cmd, where adapters meet.
//
// Both processes start while Redis is away, say so in /readyz, and need no restart when it comes back.
package daemon
