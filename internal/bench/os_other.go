//go:build !linux

package main

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// errNoProc reports that the operating system is not one that tells.
var errNoProc = errors.New("the CPU time and memory of processes are read from /proc, which only Linux has")

func dieWithParent() *syscall.SysProcAttr { return nil }

func supported() error { return errNoProc }

func raiseFileLimit() (int, error) { return 0, errNoProc }

func forget(*os.File) error { return errNoProc }

func sleep(d time.Duration) { <-time.After(d) }
