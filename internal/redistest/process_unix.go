//go:build unix && !linux

package redistest

import "syscall"

const (
	signalFreeze = syscall.SIGSTOP
	signalThaw   = syscall.SIGCONT
)

// dieWithParent is possible on Linux only: elsewhere a server outlives tests that are killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
