package stories

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestLedgerFindsWhatIsWrong gives the ledger outputs that are right but for one thing.
func TestLedgerFindsWhatIsWrong(t *testing.T) {
	s := &story{t: t, scored: "scored", dead: "dead"}
	out := func(topic, id, key string) *kgo.Record {
		r := &kgo.Record{Topic: topic, Key: []byte(key), Value: fmt.Appendf(nil, `{"review_id": %q, "model": "constant"}`, id)}
		headers := map[string]string{"event": id, "nearline-source-partition": "3"}
		if topic == s.dead {
			headers = map[string]string{"event": id, "nearline-dlq-source-partition": "3", "nearline-dlq-class": "decode",
				"nearline-dlq-cause": "it is cut"}
		}
		for name, value := range headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
		return r
	}
	right := func() []*kgo.Record {
		return []*kgo.Record{out(s.scored, "e-0", "a"), out(s.scored, "e-1", "b"), out(s.scored, "e-2", "a"), out(s.dead, "e-3", "b")}
	}
	for _, c := range []struct {
		name, says string
		outputs    func([]*kgo.Record) []*kgo.Record
	}{
		{"nothing", "", func(o []*kgo.Record) []*kgo.Record { return o }},
		{"lost", "e-1 is lost", func(o []*kgo.Record) []*kgo.Record { return append(o[:1], o[2:]...) }},
		{"doubled", "e-2 is doubled: it has 2 effects", func(o []*kgo.Record) []*kgo.Record { return append(o, o[2]) }},
		{"a result and a dead letter", "e-0 is doubled", func(o []*kgo.Record) []*kgo.Record { return append(o, out(s.dead, "e-0", "a")) }},
		{"out of order", "e-0 of key a comes after number 2", func(o []*kgo.Record) []*kgo.Record { o[0], o[2] = o[2], o[0]; return o }},
		{"another key", `e-1 has the key "c", want "b"`, func(o []*kgo.Record) []*kgo.Record { o[1].Key = []byte("c"); return o }},
		{"a bad event scored", "e-3 is bad, and became a record of scored",
			func(o []*kgo.Record) []*kgo.Record { o[3] = out(s.scored, "e-3", "b"); return o }},
		{"a good event refused", "e-1 became", func(o []*kgo.Record) []*kgo.Record { o[1] = out(s.dead, "e-1", "b"); return o }},
		{"another's result", "e-1 became", func(o []*kgo.Record) []*kgo.Record { o[1].Value = o[0].Value; return o }},
		{"aborted upstream", `"e-aborted-4" is unknown`, func(o []*kgo.Record) []*kgo.Record { return append(o, out(s.scored, "e-aborted-4", "a")) }},
		{"removed", "e-9 was removed, and has an effect",
			func(o []*kgo.Record) []*kgo.Record { return append(o, out(s.scored, "e-9", "b")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(s)
			l.write(event{id: "e-0", key: "a"}, event{id: "e-1", key: "b"}, event{id: "e-2", key: "a"}, event{id: "e-3", key: "b", bad: true},
				event{id: "e-9", key: "b", gone: true})
			for _, r := range c.outputs(right()) {
				l.see(r)
			}
			wrong, _, _ := l.verdict()
			if c.says == "" && len(wrong) > 0 || c.says != "" && (len(wrong) == 0 || !strings.Contains(wrong[0], c.says)) {
				t.Errorf("the ledger finds %q, want %q", wrong, c.says)
			}
		})
	}
}
