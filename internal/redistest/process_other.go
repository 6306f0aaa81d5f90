//go:build !unix

package redistest

import "syscall"

// No signal freezes a process here; sending these fails, and the test with it.
const (
	signalFreeze = syscall.Signal(0)
	signalThaw   = syscall.Signal(0)
)

// dieWithParent is possible on Linux only: elsewhere a server outlives tests that are killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
