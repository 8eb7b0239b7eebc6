package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearline/offline"
)

func TestCommandsShowWhatIsWrittenInTheFile(t *testing.T) {
	held := map[string]string{
		"PLANTED_BROKER": "127.0.0.1:1", "PLANTED_STORE": "127.0.0.1:2", "PLANTED_USER": "user-hunter2", "PLANTED_PASSWORD": "password-hunter2",
		"PLANTED_REPOSITORY": filepath.Join(t.TempDir(), "zoo-hunter2"), "PLANTED_TOPIC": "topic-hunter2", "PLANTED_NAME": "name-hunter2", "PLANTED_SCHEMA": "schema-hunter2",
	}
	for name, value := range held {
		t.Setenv(name, value)
	}
	write := func(t *testing.T, schema string) string {
		path := filepath.Join(t.TempDir(), "nearline.yaml")
		if err := os.WriteFile(path, []byte(`
kafka: {brokers: ["${env:PLANTED_BROKER}"], replica: "${env:PLANTED_NAME}"}
models: {repository: "${env:PLANTED_REPOSITORY}"}
pipelines:
  - name: ${env:PLANTED_NAME}
    input: {topic: "${env:PLANTED_TOPIC}"`+schema+`}
    steps: [{predict: {model: "${env:PLANTED_NAME}"}}]
    output: {topic: "${env:PLANTED_TOPIC}.scored"}
    dead_letters: ${env:PLANTED_TOPIC}.dlq
features: {store: {redis: {addresses: ["${env:PLANTED_STORE}"], username: "${env:PLANTED_USER}", password: "${env:PLANTED_PASSWORD}"}}}
serving: {http: off}
`), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name, schema string
		args         []string
	}{
		{"check", "", []string{"check"}},
		{"check of a schema", `, format: avro, schema: "${env:PLANTED_SCHEMA}"`, []string{"check"}},
		{"topics", "", []string{"topics", "--wait", "1ms"}},
		{"dlq", "", []string{"dlq", "list"}},
		{"score", "", []string{"score", "--pipeline", "other"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := execute(t, "", append(c.args, "--config", write(t, c.schema))...)
			r.fails(t)
			all := r.out + r.err + r.failure.Error()
			for name, value := range held {
				if strings.Contains(all, value) {
					t.Errorf("got %s, which shows what %s holds", all, name)
				}
			}
			if !strings.Contains(all, "${env:PLANTED_") {
				t.Errorf("got %s, want what is written", all)
			}
		})
	}
}

// Rejected lines are data, though they go where messages go.
func TestScoreWritesRejectsToStandardErrorAsTheyAre(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write(t, at("nearline.yaml"), fmt.Sprintf(`
kafka: {brokers: ["kafka:9092"], replica: "${env:PLANTED_REGION}"}
models: {repository: %q}
`, repository(t))+jobPipeline)
	rejected := `{"text":"posted in germany"` // which no brace ends
	write(t, at("in"), rejected+"\n"+review)
	score := func(more ...string) (string, error) {
		t.Helper()
		stderr, err := os.Create(at("stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		c := program(t, append([]string{"score", "--config", at("nearline.yaml"), "--pipeline", "job", "--in", at("in")}, more...)...)
		c.Env = append(c.Env, "PLANTED_REGION=germany")
		c.Stderr = stderr
		failed := c.Run()
		said, err := os.ReadFile(at("stderr"))
		if err != nil {
			t.Fatal(err)
		}
		return string(said), failed
	}
	said, err := score("--out", at("out"))
	if err != nil {
		t.Fatalf("got %v, want none; standard error: %s", err, said)
	}
	var reject offline.Reject
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&reject); err != nil || reject.Value != rejected {
		t.Errorf("got %q (%v), want %q: standard error: %s", reject.Value, err, rejected, said)
	}
	// And the file that the shell has opened for them is not written twice.
	said, err = score("--out", at("stderr"))
	if err == nil {
		t.Error("got exit status 0, want that the run is refused")
	}
	wantAll(t, "standard error", said, "--out", "standard error", "the same file")
}
