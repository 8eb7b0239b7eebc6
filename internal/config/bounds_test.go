package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"nearline/pipeline"
)

// unbounded are the keys whose numbers are not amounts: nothing is made as large as they are.
var unbounded = map[string]string{
	"models.versions": "it names a folder, and folders are called by dates as well",
}

// amounts are the paths of all numbers, durations and sizes that a configuration has, found by reflection.
func amounts(typ reflect.Type, path string, depth int, found map[string]string) {
	switch {
	case depth > 12: // crosses of crosses
	case typ == reflect.TypeFor[time.Duration]():
		found[path] = "2000000h"
	case typ == reflect.TypeFor[pipeline.ByteSize]():
		found[path] = "4000000GiB"
	case typ.Kind() >= reflect.Int && typ.Kind() <= reflect.Uint64:
		found[path] = "1000000000000000"
	case typ.Kind() == reflect.Pointer, typ.Kind() == reflect.Map:
		amounts(typ.Elem(), path, depth+1, found)
	case typ.Kind() == reflect.Slice:
		amounts(typ.Elem(), path+"[]", depth+1, found)
	case typ.Kind() == reflect.Struct:
		for field := range typ.Fields() {
			name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			switch {
			case options == "inline":
				amounts(field.Type, path, depth+1, found)
			case field.IsExported() && name != "" && name != "-" && name != "cross":
				amounts(field.Type, join(path, name), depth+1, found)
			}
		}
	}
}

func TestEveryAmountHasABound(t *testing.T) {
	setEnv(t)
	wanted := map[string]string{}
	amounts(reflect.TypeFor[Config](), "", 0, wanted)
	if len(wanted) < 50 {
		t.Fatalf("got %d amounts, want those of all rooms", len(wanted))
	}
	tried := map[string]bool{}
	everyValue(t, func(file string, set func(any), document func() []byte) {
		_, path, _ := strings.Cut(file, " ")
		key := unindexed(path)
		for _, of := range []string{"predict", "rank"} { // the name of a column is no key
			begins := "pipelines[].steps[]." + of + ".inputs."
			if rest, ok := strings.CutPrefix(key, begins); ok {
				_, rest, _ = strings.Cut(rest, ".")
				key = begins + rest
			}
		}
		huge, ok := wanted[key]
		if !ok {
			return
		}
		tried[key] = true
		if unbounded[key] != "" {
			return
		}
		for _, value := range []string{huge, "9223372036854775807", "99999999999999999999999999"} {
			if strings.HasSuffix(huge, "h") && value != huge {
				value = "99999999999h"
			}
			set(value)
			_, _, err := Parse("huge.yaml", document())
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s is %s: got %.300v, want it refused", path, value, err)
			}
		}
	})
	if _, _, err := Parse("huge.yaml", []byte("models: {batch: {buckets: [1000000000000000]}}\n")); err == nil || !strings.Contains(err.Error(), "models.batch.buckets[0] is 1000000000000000") {
		t.Errorf("got %v, want the bucket refused", err)
	}
	tried["models.batch.buckets[]"] = true // the good files have none
	for path := range wanted {
		if !tried[path] && !strings.HasPrefix(path, "pipelines[].steps[].rank.inputs") && unbounded[path] == "" {
			t.Errorf("%s was not tried: is it in no good file?", path)
		}
	}
}
