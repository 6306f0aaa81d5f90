package config

import "reflect"

// Variable is a setting as the documentation shows it.
type Variable struct{ Name, Default, Process, Meaning string }

// Documented lists all settings of both processes, each once.
func Documented() []Variable {
	api, worker := byName(variables(API{})), byName(variables(Worker{}))
	var all []Variable
	for _, v := range variables(API{}, Worker{}) {
		d := Variable{Name: v.name, Default: shown(v), Process: "both", Meaning: v.meaning()}
		w, inWorker := worker[v.name]
		switch a, inAPI := api[v.name]; {
		case !inWorker:
			d.Process = "api"
		case !inAPI:
			d.Process = "worker"
		case a.def != w.def:
			d.Default = "api " + shown(a) + ", worker " + shown(w)
		}
		all = append(all, d)
	}
	return all
}

func shown(v variable) string {
	if v.def == "" {
		return v.unset
	}
	return "`" + v.def + "`"
}

func byName(vs []variable) map[string]variable {
	m := map[string]variable{}
	for _, v := range vs {
		m[v.name] = v
	}
	return m
}

// FileType is what CONFIG_FILE is decoded into.
func FileType() reflect.Type { return reflect.TypeFor[file]() }
