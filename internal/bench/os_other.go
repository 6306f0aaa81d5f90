//go:build !linux

package main

import (
	"syscall"
	"time"
)

func dieWithParent() *syscall.SysProcAttr { return nil }

func supported() error { return errNoProc }

func raiseFileLimit() (uint64, error) { return 0, errNoProc }

func sleep(d time.Duration) { <-time.After(d) }
