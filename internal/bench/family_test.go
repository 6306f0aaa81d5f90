package main

import (
	"os"
	"strings"
	"testing"
)

func newTestFamily(t *testing.T) *family {
	t.Helper()
	f, err := newFamily()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f
}

func TestFamilyEndsWithItsProcesses(t *testing.T) {
	t.Parallel()
	needsShell(t)
	f := newTestFamily(t)
	p, err := f.start("one", "/bin/sh", nil, "-c", `echo noise; echo '{"msg":"ready","address":"here"}'`)
	if err != nil {
		t.Fatal(err)
	}
	// It has ended by now, or not: what it said counts all the same.
	attrs, err := p.logged(t.Context(), "ready")
	if err != nil || attrs["address"] != "here" {
		t.Errorf("got %v (%v)", attrs, err)
	}
	if _, err := f.start("two", "/bin/sh", nil, "-c", "exec /bin/sleep 60"); err != nil {
		t.Fatal(err)
	}
	f.close()
	for _, p := range f.processes {
		select {
		case <-p.done:
		default:
			t.Errorf("%s still runs", p.name)
		}
	}
	if _, err := os.Stat(f.dir); !os.IsNotExist(err) {
		t.Errorf("its directory is still there (%v)", err)
	}
}

func TestProcessThatEndsTellsWhy(t *testing.T) {
	t.Parallel()
	needsShell(t)
	f := newTestFamily(t)
	p, err := f.start("one", "/bin/sh", nil, "-c", "echo a wrong setting; exit 2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.logged(t.Context(), "ready"); err == nil || !strings.Contains(err.Error(), "a wrong setting") {
		t.Errorf("got %v, want what it said", err)
	}
	if err := f.check(); err == nil {
		t.Error("a process that ended is not noticed")
	}
}

// needsShell skips where there is no shell.
func needsShell(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("needs /bin/sh")
	}
}
