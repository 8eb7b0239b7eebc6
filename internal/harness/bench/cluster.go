package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"nearline/internal/config"
	"nearline/internal/secret"
	"nearline/kafka"
)

// cluster is how what is measured reaches its brokers: the clients here, and the services, by the section kafka of their configurations.
type cluster struct {
	kafka.Connection
	section string // one line of YAML
}

// clusterAt brokers that ask for no login.
func clusterAt(brokers ...string) cluster {
	listed, _ := json.Marshal(brokers) // texts
	return cluster{kafka.Connection{Brokers: brokers}, fmt.Sprintf("{brokers: %s, replica: bench}", listed)}
}

// clusterIn is the cluster of a configuration's section kafka; brokers take the place of its own where there are some.
func clusterIn(file string, brokers []string) (cluster, error) {
	known, _, err := config.LoadKafka(file)
	if err != nil {
		return cluster{}, err
	}
	if len(brokers) > 0 {
		known.Brokers = brokers
	}
	for _, path := range known.Paths() { // services have their configurations elsewhere
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return cluster{}, err
		}
	}
	variables := 0
	section, _ := written(reflect.ValueOf(known), &variables).(map[string]any)
	section["replica"] = "bench"
	line, err := json.Marshal(section)
	return cluster{known.Connection(), string(line)}, err
}

// written is a part of a configuration as a file has it. Secrets come from variables, which services inherit.
func written(v reflect.Value, variables *int) any {
	switch is := v.Interface().(type) {
	case secret.Name:
		return inVariable(is.Text, variables)
	case secret.Text:
		return inVariable(is, variables)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return written(v.Elem(), variables)
	case reflect.Struct:
		keys := make(map[string]any)
		for i := range v.NumField() {
			if key := v.Type().Field(i).Tag.Get("yaml"); key != "" && !v.Field(i).IsZero() {
				keys[key] = written(v.Field(i), variables)
			}
		}
		return keys
	}
	return v.Interface()
}

func inVariable(text secret.Text, variables *int) string {
	*variables++
	name := fmt.Sprint("NEARLINE_BENCH_SECRET_", *variables)
	_ = os.Setenv(name, text.Value()) // no secret has what a variable cannot hold
	return "${env:" + name + "}"
}
