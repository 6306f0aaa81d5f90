package redistest

import "syscall"

const (
	signalFreeze = syscall.SIGSTOP
	signalThaw   = syscall.SIGCONT
)

// dieWithParent makes the kernel kill the server when the tests are gone, however they ended.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
