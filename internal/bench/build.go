package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// moduleRoot is the directory of go.mod, and of the Makefile.
func moduleRoot(ctx context.Context) (string, error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(mod))), nil
}

// build makes the binaries as they are shipped, and returns where they are.
func build(ctx context.Context, progress io.Writer) (dir string, err error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "make", "-C", root, "build") //nolint:gosec // our own Makefile
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the binaries: %w", err)
	}
	dir = filepath.Join(root, "bin")
	for _, name := range []string{partAPI, partWorker} {
		if err := coldStart(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("have the binary read again: %w", err)
		}
	}
	return dir, nil
}

// coldStart has a file read from the disk again when it is next used, as it is where a program was installed and not just
// built. What the linker has only now written lies in the page cache in large pieces, and such are mapped whole: some 8 MiB
// of code that is never run, in the memory of each process.
func coldStart(path string) error {
	f, err := os.Open(path) //nolint:gosec // our own
	if err != nil {
		return err //nolint:wrapcheck // the caller does
	}
	defer f.Close()                  //nolint:errcheck // only read
	if err := f.Sync(); err != nil { // what is not on the disk cannot be dropped
		return err //nolint:wrapcheck // the caller does
	}
	return forget(f)
}
