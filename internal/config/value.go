package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

const (
	fileSuffix   = "_FILE"
	maxFileBytes = 64 << 10
)

// parsers read the values of the settings' types; their errors are shown as they are.
var parsers = map[reflect.Type]env.ParserFunc{
	reflect.TypeFor[time.Duration](): func(s string) (any, error) { return parseDuration(s) },
	reflect.TypeFor[bool](): func(s string) (any, error) {
		if b, err := strconv.ParseBool(s); err == nil {
			return b, nil
		}
		return nil, fmt.Errorf("%s is neither true nor false", quote(s))
	},
	reflect.TypeFor[int](): func(s string) (any, error) {
		n, err := parseInt(s)
		return int(n), err
	},
	reflect.TypeFor[int64]():    func(s string) (any, error) { return parseInt(s) },
	reflect.TypeFor[[]string](): func(s string) (any, error) { return parseList[string](s), nil },
	reflect.TypeFor[[]Secret](): func(s string) (any, error) { return parseList[Secret](s), nil },
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%s is not a duration such as 500ms, 30s or 5m", quote(s))
	}
	return d, nil
}

func parseInt(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number", quote(s))
	}
	return n, nil
}

// parseList splits at commas and drops empty entries, so that a trailing comma does no harm.
func parseList[T ~string](s string) []T {
	var list []T
	for entry := range strings.SplitSeq(s, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, T(entry))
		}
	}
	return list
}

// readFile takes the value of a secret from a file. Its mistakes show no path: people put the secret itself there.
func (l *loader) readFile(name, path string) {
	if l.vars[name] != "" {
		l.mistake(name+fileSuffix, "set together with "+name+": only one of them can count")
		return
	}
	value, err := readSecret(path)
	if err != nil {
		l.mistake(name+fileSuffix, "not a file with the value: "+err.Error())
		return
	}
	l.vars[name] = value
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator says which file
	if err != nil {
		return "", withoutPath(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return "", withoutPath(err)
	}
	value := strings.TrimSpace(string(content))
	switch {
	case len(content) > maxFileBytes:
		return "", fmt.Errorf("larger than %d bytes", maxFileBytes)
	case value == "":
		return "", errors.New("it is empty")
	}
	return value, nil
}

func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// quote shows a value that is no secret, on one line and not at any length.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
