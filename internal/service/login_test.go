//go:build synctests

package service

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"nearline/internal/harness/kafkatest"
	"nearline/kafka"
)

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// lines of the log that have all of these words.
func (j *journal) lines(words ...string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		has := true
		for _, word := range words {
			has = has && strings.Contains(line, word)
		}
		if has {
			found = append(found, line)
		}
	}
	return found
}

func TestALoginThatIsRefusedIsSaidInTheHealthAndOnceInTheLog(t *testing.T) {
	gate, world, svc := new(kafkatest.Gate), kafkatest.NewLogin(t, kafka.Scram256, "world", "world"), kafkatest.NewLogin(t, kafka.Scram256, "svc", "svc")
	gate.Admit("world", "world")
	shape := kafkatest.Shape{Partitions: 1, Gate: gate, Users: []string{"world", "svc"}, Login: world}
	kafkatest.Run(t, shape, func(w *kafkatest.World) {
		client, err := w.Connection(w.Line()).Client()
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		b := &bench{TB: w.TB, world: w, client: client, line: w.Line()}
		defer b.stopAll()
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 100)
		c, log := b.config("opinions"), &journal{}
		c.Kafka.SASL = svc.Config().SASL
		r := b.run(b.openWith(c, slog.New(slog.NewTextHandler(log, nil))))
		r.streamed(10*time.Second, false, "credentials: kafka.sasl: 127.0.0.1:9092 refuses the login of svc by SCRAM-SHA-256: Authentication failed: Invalid username or password")
		time.Sleep(time.Minute)
		if lines := log.lines("level=ERROR", "refuses the login"); len(lines) != 1 {
			t.Errorf("the refusal is logged as an error %d times in a minute, want once:\n%s", len(lines), strings.Join(lines, ""))
		}
		gate.Admit("svc", "svc")
		r.streamed(time.Minute, true, "")
		r.committed(time.Minute, 100)
		if lines := log.lines("level=INFO", "the login is accepted again"); len(lines) != 1 {
			t.Errorf("that it is accepted is logged %d times, want once", len(lines))
		}
		r.end()
	})
}
