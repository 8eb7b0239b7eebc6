package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestSectionsAreReadAsTheyAreWritten(t *testing.T) {
	got, err := Texts([]byte(`
x-login: &login {user: joe, password: 0123456}
kafka:
  brokers: ["a:1", 'b:2']
  sasl: {<<: *login, mechanism: plain}
  replica:
  session_timeout: 6s
  static_membership: true
  more: [1e3, 0x1F, "${file:p}", ~]
models: {versions: {m: 007}}
serving: {http: off}
`), "kafka", "models")
	want := map[string]any{
		"kafka": map[string]any{
			"brokers": []any{"a:1", "b:2"}, "sasl": map[string]any{"user": "joe", "password": "0123456", "mechanism": "plain"}, "replica": nil,
			"session_timeout": "6s", "static_membership": "true", "more": []any{"1e3", "0x1F", "${file:p}", nil},
		},
		"models": map[string]any{"versions": map[string]any{"m": "007"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for document, problem := range map[string]string{
		"kafka: &k {a: *k}": "nests deeper than",
		"kafka: *nowhere":   "nowhere defined",
		"- a":               "want a mapping",
		"kafka: {":          "not YAML",
	} {
		if _, err := Texts([]byte(document), "kafka"); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: got %v, want %q", document, err, problem)
		}
	}
}
