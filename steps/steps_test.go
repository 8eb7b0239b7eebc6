package steps

import (
	"reflect"
	"slices"
	"testing"
)

func TestEveryFieldOfAStepIsAVerbThatIsListed(t *testing.T) {
	fields := reflect.TypeFor[Config]()
	var keys []string
	for i := range fields.NumField() {
		field := fields.Field(i)
		var step Config
		reflect.ValueOf(&step).Elem().Field(i).Set(reflect.New(field.Type.Elem()))
		set, names := step.set()
		if len(set) != 1 || names[0] != field.Tag.Get("yaml") || reflect.TypeOf(set[0]) != field.Type {
			t.Errorf("a step with %s alone has %v, called %q: want its line in verbs", field.Name, set, names)
		}
		keys = append(keys, field.Tag.Get("yaml"))
	}
	if got := Verbs(); !slices.Equal(got, keys) {
		t.Errorf("the verbs are %q, want %q", got, keys)
	}
	for _, value := range Defaults() {
		if !slices.ContainsFunc(reflect.VisibleFields(fields), func(f reflect.StructField) bool { return f.Type.Elem() == reflect.TypeOf(value) }) {
			t.Errorf("%T has defaults, and is no verb", value)
		}
	}
}
