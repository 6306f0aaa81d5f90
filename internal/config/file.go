package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

const maxConfigBytes = 1 << 20

// file is what CONFIG_FILE may hold.
type file struct {
	Models []fileModel `yaml:"models"`
	Keys   []fileKey   `yaml:"keys"`
}

// checkFile reads CONFIG_FILE.
func (l *loader) checkFile(c *API) {
	if c.ConfigFile == "" {
		return
	}
	f, err := readFile(c.ConfigFile)
	if err != nil {
		l.unread = true
		l.fileMistakes("", err)
		return
	}
	name := filepath.Base(c.ConfigFile) + ": "
	if len(f.Models) == 0 && len(f.Keys) == 0 {
		l.fileMistakes(name, errors.New("models: at least one is required"))
	}
	c.Models, err = models(f.Models)
	l.fileMistakes(name, err)
	c.ClientKeys, err = clientKeys(f.Keys, modelNames(f.Models, c.ModelAliases))
	l.fileMistakes(name, err)
}

// fileMistakes notes what is wrong with CONFIG_FILE: err has a line for each mistake.
func (l *loader) fileMistakes(prefix string, err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		l.inFile = append(l.inFile, errors.New("CONFIG_FILE: "+prefix+strings.TrimSpace(line)))
	}
}

// readFile decodes CONFIG_FILE. An empty one is no error.
func readFile(path string) (file, error) {
	var f file
	text, err := readConfig(path)
	if err != nil {
		return f, err
	}
	err = yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&f)
	if err != nil && !errors.Is(err, io.EOF) {
		return f, errors.New(filepath.Base(path) + ": " + strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return f, nil
}

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read it: %w", err)
	case len(text) > maxConfigBytes:
		return nil, fmt.Errorf("larger than %d bytes", maxConfigBytes)
	}
	return text, nil
}
