package deadletters

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/harness/hostile"
	"nearline/kafka/decompress"
	"nearline/pipeline"
)

func TestReplayPutsTheOriginalBackOnce(t *testing.T) {
	w := newWorld(t)
	r := w.review(1, "kettle", "not JSON", kgo.RecordHeader{Key: "trace", Value: []byte("t1")})
	w.die(r, pipeline.ClassDecode, "not JSON")

	if got := w.replay(ReplayOptions{}); got.Picked != 1 || got.To[raw] != 1 {
		t.Errorf("dry run: got %+v, want that one would be replayed", got)
	}
	w.want("the source after a dry run", w.all(raw), "kettle=not JSON trace:t1")
	topics, err := kadm.NewClient(w.client).ListTopics(w.ctx)
	if err != nil || topics.Has(MemoryTopic(dead)) {
		t.Errorf("a dry run made the memory's topic, or %v", err)
	}

	if got := w.replay(ReplayOptions{Write: true}); got.To[raw] != 1 || got.Already != 0 {
		t.Errorf("got %+v, want one replayed", got)
	}
	back := "kettle=not JSON trace:t1 nearline-replay-attempt:1 nearline-replay-source:reviews.raw/1/0 nearline-replay-letter:reviews.raw.dlq/1/0"
	got := w.all(raw)
	slices.Sort(got)
	w.want("the source", got, "kettle=not JSON trace:t1\n"+back)

	if got := w.replay(ReplayOptions{Write: true}); got.Total() != 0 || got.Already != 1 {
		t.Errorf("the second time: got %+v, want none replayed", got)
	}
	if got := w.replay(ReplayOptions{Write: true, Again: true, To: "elsewhere"}); got.To["elsewhere"] != 1 {
		t.Errorf("again: got %+v, want one replayed", got)
	}
	w.want("the other topic", w.all("elsewhere"), back)
}

func TestReplayOfNullsIsOfNulls(t *testing.T) {
	w := newWorld(t)
	for _, r := range []*kgo.Record{{Topic: raw}, {Topic: raw, Key: []byte{}, Value: []byte{}}} {
		w.produce(r)
		w.die(convert(r), pipeline.ClassNoKey, "nothing")
	}
	w.replay(ReplayOptions{Write: true, To: "elsewhere"})
	client := w.newClient(kgo.ConsumeTopics("elsewhere"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	var got []string
	for len(got) < 2 {
		for r := range client.PollFetches(w.ctx).RecordsAll() {
			got = append(got, fmt.Sprintf("%t %t", r.Key == nil, r.Value == nil))
		}
	}
	slices.Sort(got)
	w.want("null key and value", got, "false false\ntrue true")
}

func TestFiltersPick(t *testing.T) {
	w := newWorld(t)
	w.die(w.review(0, "a", "1"), pipeline.ClassDecode, "not JSON at byte 3")
	w.die(w.review(0, "b", "2"), pipeline.ClassInvalid, `field "text" is missing`)
	w.die(w.review(1, "c", "3"), pipeline.ClassModel, "the model (sentiment) failed")
	for flags, want := range map[string]string{
		"":                                   "a b c",
		"class=decode,invalid":               "a b",
		"cause=JSON":                         "a",
		"cause=(?i)^THE MODEL":               "c",
		"model=sentiment":                    "c",
		"model=sentiment/2":                  "c",
		"model=sentiment/1":                  "",
		"source=reviews.raw":                 "a b c",
		"source=reviews.raw/0":               "a b",
		"source=reviews.raw/0/1":             "b",
		"source=other":                       "",
		"since=2000-01-01T00:00:00Z":         "a b c",
		"until=2000-01-01T00:00:00Z":         "",
		"since=2100-01-01T00:00:00Z":         "",
		"class=invalid source=reviews.raw/1": "",
	} {
		var got []string
		_, err := w.open().List(w.ctx, filter(t, flags), 0, func(l Listed) error {
			got = append(got, string(l.Letter.Key))
			return nil
		})
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, %v, want %s", flags, got, err, want)
		}
	}
}

func TestListSaysWhatWasReplayedAndWhereItEnds(t *testing.T) {
	w := newWorld(t)
	w.deaths(3)
	w.replay(ReplayOptions{Write: true, Limit: 1})
	var got []string
	more, err := w.open().List(w.ctx, Filter{}, 2, func(l Listed) error {
		got = append(got, fmt.Sprintf("%s %t", l.At, l.Replayed))
		return nil
	})
	if err != nil || !more {
		t.Errorf("got more %t and %v, want that there are more", more, err)
	}
	w.want("the list", got, "reviews.raw.dlq[0]@0 true\nreviews.raw.dlq[0]@1 false")
}

func TestCountsAreOfCausesThatAreAlike(t *testing.T) {
	w := newWorld(t)
	w.deaths(3)
	w.die(w.review(1, "k", "v"), pipeline.ClassInvalid, `field "a\"b" is 7 long`)
	w.produce(&kgo.Record{Topic: dead, Value: []byte("no letter")})
	counts, foreign, err := w.open().Counts(w.ctx, Filter{}, []string{"class", "cause"})
	if err != nil || foreign != 1 {
		t.Errorf("got %d records that are no letters, %v: want 1", foreign, err)
	}
	w.want("the counts", counts, `[{[decode not JSON at byte N] 3 0 0} {[invalid field "…" is N long] 1 0 0}]`)
}

func TestReplayGoesOnWhereAnotherWasCutOff(t *testing.T) {
	w := newWorld(t)
	w.deaths(10)
	for range 3 {
		w.replay(ReplayOptions{Write: true, Limit: 4})
	}
	w.wantEachOnce(10)
}

// wantEachOnce checks that every one of the n reviews that died was replayed once.
func (w *world) wantEachOnce(n int) {
	w.Helper()
	seen := make(map[string]int)
	for _, line := range w.all(raw) {
		if strings.Contains(line, "nearline-replay-attempt:1") {
			key, _, _ := strings.Cut(line, "=")
			seen[key]++
		}
	}
	for i := range n {
		if got := seen[fmt.Sprintf("k%d", i)]; got != 1 {
			w.Errorf("review %d was replayed %d times, want once", i, got)
		}
	}
}

func TestSecondReplayFencesTheFirst(t *testing.T) {
	w := newWorld(t)
	const letters = chunkRecords + 10 // two transactions
	w.deaths(letters)
	first := w.open()
	_, err := first.Replay(w.ctx, ReplayOptions{Write: true, Progress: func(Replayed) {
		if got := w.replay(ReplayOptions{Write: true, Limit: 5}); got.Already != chunkRecords || got.Total() != 5 {
			t.Errorf("the second replay: got %+v, want that it goes on after the first transaction of the first", got)
		}
	}})
	if !errors.Is(err, ErrFenced) {
		t.Errorf("got %v, want ErrFenced", err)
	}
	w.replay(ReplayOptions{Write: true})
	w.wantEachOnce(letters)
}

// beforeItFences calls a function when a replay makes its writer, the moment before it fences the others.
type beforeItFences struct{ f func() }

func (b *beforeItFences) OnNewClient(client *kgo.Client) {
	if id, ok := client.OptValue(kgo.TransactionalID).(string); ok && id != "" && b.f != nil {
		f := b.f
		b.f = nil
		f()
	}
}

// What another replay commits until it is fenced is replayed: the memory must not be read before.
func TestReplayKnowsWhatAnotherDidUntilItWasFenced(t *testing.T) {
	w := newWorld(t)
	const letters = 20
	w.deaths(letters)
	hook := &beforeItFences{func() {
		if got := w.replay(ReplayOptions{Write: true}); got.Total() != letters {
			t.Errorf("the other replay: got %+v, want all %d", got, letters)
		}
	}}
	late := w.open()
	late.connection.Options = []kgo.Opt{kgo.WithHooks(hook)}
	got, err := late.Replay(w.ctx, ReplayOptions{Write: true})
	if err != nil || got.Total() != 0 || got.Already != letters || hook.f != nil {
		t.Errorf("got %+v, %v, want all %d replayed already", got, err, letters)
	}
	w.wantEachOnce(letters)
}

func TestUncommittedReplayIsNone(t *testing.T) {
	w := newWorld(t)
	w.deaths(3)
	topic := w.open()
	if err := topic.makeMemory(w.ctx); err != nil {
		t.Fatal(err)
	}
	dying, err := topic.newWriter(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var chunk []replaying
	err = topic.Each(w.ctx, Filter{}, func(f Found) error {
		r, err := topic.prepare(w.ctx, f.Letter, &ReplayOptions{})
		chunk = append(chunk, r)
		return err
	})
	if err == nil {
		err = dying.client.BeginTransaction()
	}
	if err == nil {
		err = dying.produce(w.ctx, chunk) // everything is written, and the end never comes
	}
	if err != nil {
		t.Fatal(err)
	}
	defer dying.close()
	if got := w.replay(ReplayOptions{Write: true}); got.Total() != 3 {
		t.Errorf("got %+v, want all three replayed", got)
	}
	w.wantEachOnce(3)
}

func TestReferenceIsReplayedFromItsSource(t *testing.T) {
	w := newWorld(t)
	large := strings.Repeat("large ", 3000)
	w.die(w.review(0, "kept", large, kgo.RecordHeader{Key: "h", Value: []byte("1")}), pipeline.ClassTooLarge, "too large")
	gone := w.review(1, "gone", large)
	w.die(gone, pipeline.ClassTooLarge, "too large")
	changed := w.review(0, "changed", large)
	changed.Value = []byte(large + "another")
	w.die(changed, pipeline.ClassTooLarge, "too large")
	beyond := &pipeline.Record{Topic: raw, Partition: 0, Offset: 99, Value: []byte(large)}
	w.die(beyond, pipeline.ClassTooLarge, "too large")
	nowhere := &pipeline.Record{Topic: "deleted", Partition: 0, Offset: 0, Value: []byte(large)}
	w.die(nowhere, pipeline.ClassTooLarge, "too large")
	w.review(1, "later", "kept")
	response, err := kadm.NewClient(w.client).DeleteRecords(w.ctx, kadm.Offsets{raw: {1: {Topic: raw, Partition: 1, At: 1}}})
	if err == nil {
		err = response.Error()
	}
	if err != nil {
		t.Fatal(err)
	}

	got := w.replay(ReplayOptions{Write: true, To: "elsewhere"})
	want := "map[its offset does not exist:1 its source has another record in its place:1 its topic or partition does not exist:1 retention has removed it:1]"
	w.want("left out", got.Skipped, want)
	for why, example := range got.Example {
		if !strings.HasPrefix(example, dead+"[") {
			t.Errorf("%s: got the example %q, want one that names the dead letter", why, example)
		}
	}
	w.want("put back", w.all("elsewhere"), "kept="+large+" h:1 nearline-replay-attempt:1 nearline-replay-source:reviews.raw/0/0 nearline-replay-letter:reviews.raw.dlq/0/0")
}

func TestRefusedOriginalLeavesItsNeighboursAlone(t *testing.T) {
	w := newWorld(t)
	limit := "2000"
	_, err := kadm.NewClient(w.client).AlterTopicConfigs(w.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	w.deaths(2)
	w.die(w.review(1, "large", noise(4000)), pipeline.ClassDecode, "not JSON")
	got := w.replay(ReplayOptions{Write: true, To: "elsewhere"})
	if got.Total() != 2 || got.Skipped["the broker refuses it"] != 1 || !strings.Contains(got.Example["the broker refuses it"], dead+"[1]@0") {
		t.Errorf("got %+v, want two replayed and one refused", got)
	}
	if again := w.replay(ReplayOptions{Write: true, To: "elsewhere"}); again.Already != 2 || again.Total() != 0 {
		t.Errorf("again: got %+v, want that the refused one is tried again, and the others are not", again)
	}
}

func TestReplayTellsOfWhatEndedProcesses(t *testing.T) {
	w := newWorld(t)
	w.deaths(1)
	w.die(w.review(0, "k", "v"), pipeline.ClassCrash, "the process ended")
	if got := w.replay(ReplayOptions{}); got.Total() != 2 || got.Crashed != 1 {
		t.Errorf("got %+v, want two, of which one crashed", got)
	}
}

func TestReplayRefusesToGoRoundInCircles(t *testing.T) {
	w := newWorld(t)
	for _, to := range []string{dead, MemoryTopic(dead)} {
		if _, err := w.open().Replay(w.ctx, ReplayOptions{To: to}); err == nil || !strings.Contains(err.Error(), to) {
			t.Errorf("to %s: got %v, want a refusal", to, err)
		}
	}
}

func TestMemoryDoesNotOutliveItsTopic(t *testing.T) {
	w := newWorld(t)
	w.deaths(2)
	w.replay(ReplayOptions{Write: true})
	admin := kadm.NewClient(w.client)
	if _, err := admin.DeleteTopic(w.ctx, dead); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(w.ctx, 2, 1, nil, dead); err != nil {
		t.Fatal(err)
	}
	w.client = w.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner())) // which knows the new topic only
	w.die(w.review(0, "new", "v"), pipeline.ClassDecode, "not JSON")
	if got := w.replay(ReplayOptions{}); got.Total() != 1 || got.Already != 0 {
		t.Errorf("got %+v, want the new letter at the old letter's place replayed", got)
	}
}

func TestOpenNamesTheTopicThatIsMissing(t *testing.T) {
	w := newWorld(t)
	if _, err := Open(w.ctx, w.kafka, "no.such.dlq"); err == nil || !strings.Contains(err.Error(), "no.such.dlq") {
		t.Errorf("got %v, want the topic's name", err)
	}
}

func TestAtSaysWhyThereIsNothing(t *testing.T) {
	w := newWorld(t)
	w.deaths(1)
	w.produce(&kgo.Record{Topic: dead, Value: []byte("no letter")})
	topic := w.open()
	if l, err := topic.At(w.ctx, 0, 0); err != nil || string(l.Value) != "v0" {
		t.Errorf("got %+v, %v, want the letter of v0", l, err)
	}
	for _, c := range []struct {
		partition int32
		offset    int64
		want      string
	}{{0, 7, "does not exist"}, {9, 0, "does not exist"}, {0, 1, "no dead letter"}} {
		if _, err := topic.At(w.ctx, c.partition, c.offset); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d/%d: got %v, want %q", c.partition, c.offset, err, c.want)
		}
	}
}

func TestOriginalThatDoesNotFitIntoMemoryIsLeftOut(t *testing.T) {
	w := newWorld(t)
	const size = 2 * decompress.DefaultBytes
	bomb := hostile.NewGenerator(1).Bomb(0, kgo.CodecZstd, size)
	encoded, err := bomb.Encode()
	if err != nil {
		t.Fatal(err)
	}
	writer, err := hostile.NewWriter(w.ctx, w.client, raw)
	if err == nil {
		_, err = writer.Write(w.ctx, 0, encoded)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.die(&pipeline.Record{Topic: raw, Offset: 1, Value: []byte{}, Verdict: pipeline.Verdict{Withheld: &pipeline.Withheld{Length: size}}}, pipeline.ClassTooLarge, "too large")
	w.die(&pipeline.Record{Topic: raw, Offset: 2, Key: bomb.Records[2].Key, Value: bomb.Records[2].Value}, pipeline.ClassDecode, "not JSON")
	got := w.replay(ReplayOptions{Write: true, To: "elsewhere"})
	if got.Total() != 1 || got.Skipped["it does not fit into memory"] != 1 || !strings.Contains(got.Example["it does not fit into memory"], "268435456 bytes") {
		t.Errorf("got %+v, want the bomb left out, and its neighbour replayed", got)
	}
}
