package torture

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestLedgerSeesResultsWithAWrongTimestamp(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		input, result time.Time
		told          string
		wrong         int
	}{
		"inherited":                    {now.Add(-time.Hour), now.Add(-time.Hour), "", 0},
		"told of":                      {time.UnixMilli(-1), now, "-1", 0},
		"neither":                      {time.UnixMilli(-1), now, "", 1},
		"another one is told":          {time.UnixMilli(-1), now, "0", 1},
		"told of, and of another time": {time.UnixMilli(-1), now.AddDate(-1, 0, 0), "-1", 1},
	} {
		l := newLedger(topics{"in", "out", "dlq"})
		l.read(&kgo.Record{Topic: "in", Key: []byte("k"), Value: []byte("{}"), Timestamp: c.input})
		out := &kgo.Record{Topic: "out", Key: []byte("k"), Value: []byte("{}"), Timestamp: c.result, Headers: []kgo.RecordHeader{
			{Key: "nearline-source-topic", Value: []byte("in")}, {Key: "nearline-source-partition", Value: []byte("0")}, {Key: "nearline-source-offset", Value: []byte("0")}}}
		if c.told != "" {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: "nearline-source-timestamp", Value: []byte(c.told)})
		}
		l.see(out)
		if l.counts.Misstamped != c.wrong {
			t.Errorf("%s: got %d wrong timestamps, want %d: %v", name, l.counts.Misstamped, c.wrong, l.notes)
		}
	}
}

func TestAnEventCountsByItsOwnTimeUnlessItWasWrittenEarlier(t *testing.T) {
	said := time.Now().UnixMilli()
	for written, want := range map[int64]int64{-1: said, 0: said, said / 1000: said, said - 1000: said - 1000, said + 1000: said, said * 2: said} {
		if got := counted(written, said); got != want {
			t.Errorf("written at %d: got %d, want %d", written, got, want)
		}
	}
}
