package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"nearline/internal/veil"
)

// everyValue hands each value of the good files, which have every key between them, to plant: set puts another in its place, and document
// is the file with it.
func everyValue(t *testing.T, plant func(path string, set func(any), document func() []byte)) {
	t.Helper()
	for _, file := range []string{"full", "dynamodb", "bigtable", "firestore"} {
		data, err := os.ReadFile(filepath.Join("testdata", "good", file+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := yaml.Unmarshal(data, &tree); err != nil {
			t.Fatal(err)
		}
		document := func() []byte {
			data, err := json.Marshal(tree) // which is YAML, and quick
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		var walk func(path string, value any, set func(any))
		walk = func(path string, value any, set func(any)) {
			switch value := value.(type) {
			case map[string]any:
				for _, key := range slices.Sorted(maps.Keys(value)) {
					walk(join(path, key), value[key], func(v any) { value[key] = v })
				}
			case []any:
				for i := range value {
					walk(fmt.Sprintf("%s[%d]", path, i), value[i], func(v any) { value[i] = v })
				}
			}
			// Of the other stores' files, what full.yaml has not.
			if path != "" && (file == "full" || strings.HasPrefix(path, "features.store.")) {
				plant(file+".yaml "+path, set, document)
				set(value)
			}
		}
		walk("", tree, nil)
	}
}

func TestNoMessageSaysWhatAVariableHolds(t *testing.T) {
	setEnv(t)
	planted, told := 0, 0
	for _, c := range []struct {
		secret    string
		reference any
	}{
		{"redis://:hunter2@vault.example:6379", "${env:NEARLINE_TEST_PLANTED}"},
		{"hunter2 / \"quoted\"\n..hunter2,hunter2", []any{"${env:NEARLINE_TEST_PLANTED}"}},
		{"hunter2", "x${env:NEARLINE_TEST_PLANTED:-y}.z"},
	} {
		t.Setenv("NEARLINE_TEST_PLANTED", c.secret)
		everyValue(t, func(path string, set func(any), document func() []byte) {
			set(c.reference)
			planted++
			_, _, err := Parse("planted.yaml", document())
			if err == nil {
				return
			}
			told++
			for _, part := range []string{"hunter2", "vault.example"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("%s: a message shows what a variable holds: %v", path, err)
				}
			}
		})
	}
	if planted < 600 || told < 300 {
		t.Errorf("planted %d values and got %d errors, want every key of the good files", planted, told)
	}
}

func TestMessagesSayWhatIsWritten(t *testing.T) {
	t.Setenv("NEARLINE_TEST_PLANTED", "redis://:hunter2@h:6379")
	_, _, err := Parse("planted.yaml", []byte("kafka: {brokers: [\"${env:NEARLINE_TEST_PLANTED}\"], replica: \"a/${env:NEARLINE_TEST_PLANTED}\"}\n"))
	if err == nil {
		t.Fatal("got no error, want those of the brokers and the replica")
	}
	for _, want := range []string{
		`kafka.brokers[0] is "${env:NEARLINE_TEST_PLANTED}": want host:port, such as kafka:9092`,
		`kafka.replica is "a/${env:NEARLINE_TEST_PLANTED}": want`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What a variable holds may be a word that messages are made of, or one that the file has anyway.
func TestWhatIsNoSecretStaysReadable(t *testing.T) {
	t.Setenv("NEARLINE_TEST_HOST", "kafka")
	t.Setenv("NEARLINE_TEST_TOPIC", "reviews")
	_, hides, err := Parse("plain.yaml", []byte("kafka: {brokers: [\"${env:NEARLINE_TEST_HOST}:9092\"]}\n"+
		"pipelines: [{name: reviews, input: {topic: \"${env:NEARLINE_TEST_TOPIC}\"}, steps: [{predict: {model: m}}], output: {topic: b}, dead_letters: c}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	const text = `kafka.brokers of pipeline reviews do not answer`
	if got := hides.Text(text); got != text {
		t.Errorf("got %q, want it as it is", got)
	}
	var nothing *veil.Veil
	if got := nothing.Text(text); got != text {
		t.Errorf("without variables: got %q, want it as it is", got)
	}
}
