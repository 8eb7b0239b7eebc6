//go:build synctests

package service

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"nearline/internal/config"
)

// locked may be written to by many.
type locked struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func TestLogsAndStreamzShowWhatIsWrittenInTheFile(t *testing.T) {
	secrets := map[string]string{
		"PLANTED_REPLICA": "replica-hunter2", "PLANTED_TOPIC": "topic-hunter2", "PLANTED_GROUP": "group-hunter2", "PLANTED_NAME": "name-hunter2",
		"PLANTED_VIEW": "view-hunter2",
	}
	for name, value := range secrets {
		t.Setenv(name, value)
	}
	with(t, func(b *bench) {
		t.Setenv("PLANTED_BROKERS", strings.Join(b.world.Seeds, ","))
		t.Setenv("PLANTED_REPOSITORY", repository(b, map[string]string{"constant": constant}))
		c, hides, err := config.Parse("planted.yaml", []byte(`
kafka: {brokers: ["${env:PLANTED_BROKERS}"], replica: "${env:PLANTED_REPLICA}"}
models: {repository: "${env:PLANTED_REPOSITORY}"}
serving: {http: off}
pipelines:
  - name: ${env:PLANTED_NAME}
    group: ${env:PLANTED_GROUP}
    input: {topic: "${env:PLANTED_TOPIC}"}
    steps: [{predict: {model: constant}}, {lookup: {views: ["${env:PLANTED_VIEW}"]}}]
    output: {topic: "${env:PLANTED_TOPIC}.scored"}
    dead_letters: ${env:PLANTED_TOPIC}.dlq
features:
  views: [{name: "${env:PLANTED_VIEW}", key: item_id, fields: [{name: n, count: {}}]}]
`))
		if err != nil {
			b.Fatal(err)
		}
		var logs locked
		options := quiet(b)
		options.Logger = slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
		options.Dial, options.Veil = b.line.Dial, hides
		s, err := Open(b.Context(), c, options)
		if err != nil {
			b.Fatal(err)
		}
		r := b.run(s)
		r.streamed(10*time.Second, false, "does not exist: create it")
		b.topics(nil, "topic-hunter2", "topic-hunter2.scored")
		time.Sleep(10 * time.Second)
		b.topics(nil, "topic-hunter2.dlq")
		r.streamed(time.Minute, false, "")
		b.line.Cut()
		time.Sleep(time.Minute)
		answer := httptest.NewRecorder()
		s.Health().Stream.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/streamz", nil))
		b.line.Mend()
		r.stop()
		end := <-r.ended
		for what, text := range map[string]string{"the log": logs.String(), "/streamz": answer.Body.String(), "the end": errorText(end)} {
			for name, value := range secrets {
				if at := strings.Index(text, value); at >= 0 {
					t.Errorf("%s shows what %s holds: ...%s...", what, name, text[max(0, at-200):min(len(text), at+100)])
				}
			}
		}
		if !strings.Contains(logs.String(), "${env:PLANTED_TOPIC}") || !strings.Contains(answer.Body.String(), "pipeline ${env:PLANTED_NAME}") {
			t.Error("neither the log nor /streamz says what is written")
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
