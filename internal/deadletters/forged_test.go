package deadletters

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// forge a dead letter that says of each header what it is told to.
func (w *world) forge(said map[string]string) {
	w.Helper()
	letter := outgoing(w.builder.DeadLetter(convert(&kgo.Record{Topic: raw, Key: []byte("forged"), Value: []byte("v")}),
		pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "forged"), 1))
	for i, h := range letter.Headers {
		if value, ok := said[h.Key]; ok {
			letter.Headers[i].Value = []byte(value)
			delete(said, h.Key)
		}
	}
	for key, value := range said {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	letter.Partition = 0
	w.produce(letter)
}

func TestReplayObeysNoSourceButThePipelinesInput(t *testing.T) {
	const source = "nearline-dlq-source-topic"
	w := newWorld(t)
	for _, topic := range []string{
		"elsewhere", "__consumer_offsets", "nearline.attempts", "nearline.progress.nearline-reviews", "nearline.features.item.updates", "nearline.features.item.state", dead,
		MemoryTopic(dead), "", "\x1b[2J", strings.Repeat("x", 250), raw + "\x00",
	} {
		w.forge(map[string]string{source: topic})
	}
	w.die(w.review(0, "kettle", "good"), pipeline.ClassDecode, "not JSON")
	got := w.replay(ReplayOptions{Write: true})
	if len(got.To) != 1 || got.To[raw] != 1 || got.Picked != 13 {
		t.Errorf("got %+v, want one original put back into %s, and the 12 that were forged left out", got, raw)
	}
	left := 0
	for why, n := range got.Skipped {
		if left += n; !strings.Contains(why, "the pipeline's input (reviews.raw)") || !strings.Contains(why, "--to") {
			t.Errorf("%d are left out as %q, want what the input is and what to do", n, why)
		}
	}
	if left != 12 {
		t.Errorf("%d are left out, want 12", left)
	}
	w.want("elsewhere", w.all("elsewhere"), "")

	// Where the command names a topic, that is where they go.
	if got := w.replay(ReplayOptions{Write: true, To: "elsewhere"}); got.To["elsewhere"] != 12 {
		t.Errorf("got %+v, want the other 12 put where the command says", got)
	}
}

func TestReplayGoesByTheConfiguredInputs(t *testing.T) {
	w := newWorld(t)
	w.forge(map[string]string{"nearline-dlq-source-topic": "elsewhere"})
	w.die(w.review(0, "kettle", "good"), pipeline.ClassDecode, "not JSON")
	if got := w.replay(ReplayOptions{Inputs: []string{"elsewhere"}}); got.To["elsewhere"] != 1 || got.Total() != 1 {
		t.Errorf("got %+v, want the one of the configured input", got)
	}
	if got := w.replay(ReplayOptions{Inputs: []string{}}); got.Total() != 0 {
		t.Errorf("got %+v, want none where no pipeline has these dead letters", got)
	}
	if got := w.replay(ReplayOptions{Inputs: []string{"elsewhere"}, Internal: []string{"elsewhere"}}); got.Total() != 0 {
		t.Errorf("got %+v, want nothing put into an internal topic", got)
	}
}

func TestReplayRefusesInternalTopicsByAnyName(t *testing.T) {
	w := newWorld(t)
	w.deaths(1)
	for _, to := range []string{dead, MemoryTopic(dead), MemoryTopic("other.dlq"), "__transaction_state", "nearline.attempts", "nearline.progress.nearline-reviews", "nearline.features.item.state", "shop.marks"} {
		if got, err := w.open().Replay(w.ctx, ReplayOptions{Write: true, To: to, Internal: []string{"shop.marks"}}); err == nil {
			t.Errorf("--to %s: got %+v, want it refused", to, got)
		}
	}
}

func TestForgedPlacesLeaveTheOtherLettersAlone(t *testing.T) {
	w := newWorld(t)
	for _, said := range []map[string]string{
		{"nearline-dlq-source-partition": "-1"}, {"nearline-dlq-source-partition": "2147483647"},
		{"nearline-dlq-source-offset": "-9223372036854775808"}, {"nearline-dlq-source-offset": "9223372036854775807"},
		{"nearline-dlq-source-topic": ""}, {"nearline-dlq-source-topic": "no topic"}, {"nearline-dlq-source-topic": "unknown"},
	} {
		said["nearline-dlq-dropped"] = "headers" // so that the original is looked for
		w.forge(said)
	}
	w.die(w.review(0, "kettle", "good"), pipeline.ClassDecode, "not JSON")
	// Each source is looked up where the command names a topic.
	if got := w.replay(ReplayOptions{To: "elsewhere"}); got.Total() != 1 || got.Picked != 8 {
		t.Errorf("got %+v, want the good one, and the 7 that were forged left out", got)
	}
}
