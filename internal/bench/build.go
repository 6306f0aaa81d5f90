package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
)

// build makes the binaries as they are shipped, and returns where they are.
func build(ctx context.Context, progress io.Writer) (dir string, err error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	cmd := exec.CommandContext(ctx, "make", "-C", root, "build") //nolint:gosec // our own Makefile
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the binaries: %w", err)
	}
	return filepath.Join(root, "bin"), nil
}
