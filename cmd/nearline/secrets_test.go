package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
