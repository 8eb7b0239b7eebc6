package consumers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

func TestHelpingKeepsTheBounds(t *testing.T) {
	for name, c := range map[string]struct {
		average float64
		limits  pipeline.Limits
		taken   int // records
		bytes   int
		want    int
	}{
		"no bounds":                {average: 100, want: 1 << 16},
		"records":                  {average: 100, limits: pipeline.Limits{Records: 10}, taken: 4, want: 6},
		"records are full":         {average: 100, limits: pipeline.Limits{Records: 10}, taken: 10, want: 0},
		"bytes by the average":     {average: 100, limits: pipeline.Limits{Bytes: 1000}, want: 10},
		"what is left of bytes":    {average: 100, limits: pipeline.Limits{Bytes: 1000}, taken: 5, bytes: 500, want: 5},
		"at least one":             {average: 5000, limits: pipeline.Limits{Bytes: 1000}, want: 1},
		"bytes are full":           {average: 100, limits: pipeline.Limits{Bytes: 1000}, taken: 1, bytes: 1000, want: 0},
		"the narrower of both":     {average: 100, limits: pipeline.Limits{Records: 3, Bytes: 1000}, want: 3},
		"records without a weight": {average: 0, limits: pipeline.Limits{Bytes: 1000}, want: 1000},
	} {
		m := &Member{average: c.average}
		got := m.helping(c.limits, &taking{records: make([]*pipeline.Record, c.taken), bytes: c.bytes})
		if got != c.want {
			t.Errorf("%s: a helping of %d, want %d", name, got, c.want)
		}
	}
}

// What the client holds is bounded, whatever a cycle has to publish.
func TestPortionsOfOutputsAreBoundedByNumberAndBytes(t *testing.T) {
	outputs := func(n, bytes int) []pipeline.Output {
		return slices.Repeat([]pipeline.Output{{Key: []byte("k"), Value: make([]byte, bytes-1)}}, n)
	}
	picked := make([]int, 3*portionRecords)
	for i := range picked {
		picked[i] = i
	}
	for name, c := range map[string]struct {
		outputs []pipeline.Output
		want    int
	}{
		"all":                      {outputs(100, 10), 100},
		"as many as the client":    {outputs(portionRecords, 10), portionRecords},
		"more than the client":     {outputs(3*portionRecords, 10), portionRecords},
		"as heavy as it may be":    {outputs(16, portionBytes/16), 16},
		"heavier":                  {outputs(17, portionBytes/16), 16},
		"one that is heavy itself": {outputs(2, portionBytes+1), 1},
	} {
		if got := portion(c.outputs, picked[:len(c.outputs)]); got != c.want {
			t.Errorf("%s: a portion of %d, want %d", name, got, c.want)
		}
	}
}

func TestBlameTellsThePermanentFromThePassing(t *testing.T) {
	for _, err := range permanent {
		if got := pipeline.Assign(blame(fmt.Errorf("topic t: %w", err))); got != pipeline.BlamePermanent {
			t.Errorf("%v is blamed on %v: want permanent", err, got)
		}
	}
	for _, err := range []error{
		kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.UnknownMemberID,
		kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.UnknownServerError, kgo.ErrClientClosed, errors.New("connection refused"),
	} {
		if got := pipeline.Assign(blame(err)); got != pipeline.BlamePassing {
			t.Errorf("%v is blamed on %v: want passing", err, got)
		}
		if !errors.Is(blame(err), err) {
			t.Errorf("%v is lost in its blame", err)
		}
	}
	if blame(nil) != nil {
		t.Error("no error is blamed")
	}
	for _, err := range refusals {
		if isPermanent(err) {
			t.Errorf("%v is both a record's fault and permanent", err)
		}
	}
}

func TestKafkaConfigNamesEveryProblem(t *testing.T) {
	valid := DefaultKafka()
	valid.Brokers = []string{"k1:9093"}
	if err := valid.Validate("kafka"); err != nil {
		t.Errorf("the default with a broker is invalid: %v", err)
	}
	err := KafkaConfig{Replica: "a b", TransactionTimeout: time.Hour}.Validate("kafka")
	if err == nil {
		t.Fatal("an empty config is valid")
	}
	for _, want := range []string{
		"kafka.brokers is empty", `kafka.replica is "a b"`, "kafka.transaction_timeout is 1h0m0s", "kafka.session_timeout is 0s",
		"kafka.rebalance_timeout is 0s", "kafka.fetch_max_bytes is 0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	bad := valid
	bad.Brokers = []string{"k1"}
	if err := bad.Validate("kafka"); err == nil || !strings.Contains(err.Error(), `kafka.brokers[0] is "k1"`) {
		t.Errorf("a broker without a port: %v", err)
	}
}

func TestStartReadsAndWrites(t *testing.T) {
	for _, text := range []string{"earliest", "latest", "2026-01-31T12:00:00Z"} {
		var s Start
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != text {
			t.Errorf("%q is read as %v, %v", text, s, err)
		}
	}
	if err := new(Start).UnmarshalText([]byte("yesterday")); err == nil {
		t.Error("yesterday is a place to start")
	}
}

func TestTransactionalIDIsStable(t *testing.T) {
	c := Config{Group: "g", Index: 2, Kafka: KafkaConfig{Replica: "pod-0"}}
	if got := c.TransactionalID(); got != "g/pod-0/2" {
		t.Errorf("the transactional id is %q: want g/pod-0/2", got)
	}
}
