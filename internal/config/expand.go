package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// environment is what ${NAME} in CONFIG_FILE is replaced from.
type environment map[string]string

// reference is ${NAME}, or $${, which stands for the two characters ${. Whatever else begins with ${ is a mistake.
var reference = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{`)

// expand replaces every ${NAME} of a text by the variable's value, once: what a value holds is not looked at again. A
// secret may also come from the file that NAME_FILE names. Its errors show no value.
func (e environment) expand(text string, secret bool) (string, error) {
	var mistakes []error
	expanded := reference.ReplaceAllStringFunc(text, func(found string) string {
		switch found {
		case "$${":
			return "${"
		case "${":
			mistakes = append(mistakes, errors.New("${ is not followed by the name of a variable and }: for the two characters themselves write $${"))
			return ""
		}
		value, err := e.value(strings.Trim(found, "${}"), secret)
		if err != nil {
			mistakes = append(mistakes, err)
		}
		return value
	})
	if len(mistakes) > 0 {
		return "", mistakes[0]
	}
	return expanded, nil
}

// value returns the value of one variable. As everywhere, an empty one counts as unset.
func (e environment) value(name string, secret bool) (string, error) {
	value, file := e[name], ""
	if secret {
		file = e[name+fileSuffix]
	}
	switch {
	case value != "" && file != "":
		return "", fmt.Errorf("%s%s is set together with %s: only one of them can count", name, fileSuffix, name)
	case value != "":
		return value, nil
	case file == "":
		return "", fmt.Errorf("the variable %s is not set", name)
	}
	value, err := readSecret(file)
	if err != nil {
		return "", fmt.Errorf("%s%s is not a file with the value: %w", name, fileSuffix, err)
	}
	return value, nil
}
