package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/features"
)

// at second s.
func at(s int) int64 { return 1_800_000_000_000 + int64(s)*1000 }

func lineOf(key string, ms int64) string {
	return fmt.Sprintf(`{"item_id":%q,"created_at":%d}`, key, ms)
}

func TestExportAnswersRowsInTheirOrder(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(7, 7))
	events := randomEvents(rng, 500)
	w.tell(events...)
	questions := randomQuestions(rng, events, 100)
	var lines []string
	for _, q := range questions {
		lines = append(lines, lineOf(q.key, q.at))
	}
	rows, report, err := w.export(Options{In: strings.NewReader(strings.Join(lines, "\n\n"))})
	if err != nil {
		t.Fatal(err)
	}
	want := answers(t, viewOf(item()), questions, events)
	for i := range questions {
		if got := lines[i][:len(lines[i])-1] + "," + string(want[i]) + "}"; rows[i] != got {
			t.Errorf("row %d is\n%s, want\n%s", i, rows[i], got)
		}
	}
	v := report.Views[0]
	if report.Rows != 100 || v.Updates != 500 || v.Counted == 0 || v.Keys != 4 || v.Unknown == 0 || v.Unknown == 100 || v.Cut {
		t.Errorf("got report %+v", report)
	}
}

func TestOnlyCommittedUpdatesCount(t *testing.T) {
	w := newWorld(t)
	w.tell(event{key: "kettle", at: at(1)})
	transactional := w.newClient(kgo.TransactionalID("t"))
	// More than one fetch holds, so that some answers break off in the middle of what was aborted.
	rng := rand.New(rand.NewPCG(1, 1))
	for i, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := transactional.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for range 12 {
			noise := make([]byte, 500_000)
			for k := range noise {
				noise[k] = byte('a' + rng.IntN(26))
			}
			e := event{key: "kettle", at: at(2 + i), review: string(noise)}
			transactional.Produce(w.ctx, &kgo.Record{Topic: updates, Key: []byte(e.key), Value: e.update(), Timestamp: time.UnixMilli(e.at)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			if err := transactional.Flush(w.ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := transactional.EndTransaction(w.ctx, commit); err != nil {
			t.Fatal(err)
		}
	}
	w.tell(event{key: "kettle", at: at(8)})
	rows, report, err := w.export(Options{In: strings.NewReader(lineOf("kettle", at(9)))})
	if err != nil {
		t.Fatal(err)
	}
	// A text of that size is none that a view takes, but one is counted all the same.
	if got := w.seen(rows[0]); got != 14 {
		t.Errorf("got %d events of %+v, want the 14 that are committed", got, report)
	}
}

func TestByArrivalCountsWhatWasWrittenBefore(t *testing.T) {
	w := newWorld(t)
	late := event{key: "kettle", at: at(1)}
	w.produce(&kgo.Record{Topic: updates, Key: []byte(late.key), Value: late.update(), Timestamp: time.UnixMilli(at(100))})
	for _, c := range []struct {
		by   By
		at   int64
		want int
	}{{ByEvent, at(1), 0}, {ByEvent, at(2), 1}, {ByArrival, at(2), 0}, {ByArrival, at(100), 0}, {ByArrival, at(101), 1}} {
		rows, _, err := w.export(Options{By: c.by, In: strings.NewReader(lineOf("kettle", c.at))})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.seen(rows[0]); got != c.want {
			t.Errorf("by %d, at %d: got %d events, want %d", c.by, c.at, got, c.want)
		}
	}
}

// A view forgets by the time of all its partition's events. By arrival that is as it was online; by event, a key's own are all that a row sees.
func TestRowsDoNotSeeWhatAViewHasForgotten(t *testing.T) {
	w := newWorld(t)
	w.client = w.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner())) // all in one partition
	forgetting := viewOf(features.ViewConfig{Name: "item", Key: "item_id", Time: "created_at", TTL: 10 * time.Second,
		Fields: []features.FieldConfig{{Name: "events", Count: &features.CountConfig{}}}})
	for i, u := range []event{
		{key: "kettle", at: at(0)},
		{key: "teapot", at: at(11)}, // has it forgotten
		{key: "kettle", at: at(9)},  // late
		{key: "kettle", at: at(12)},
	} {
		w.produce(&kgo.Record{Topic: updates, Key: []byte(u.key), Value: u.update(), Timestamp: time.UnixMilli(at(12 + i))})
	}
	for _, c := range []struct {
		by   By
		at   int64
		want int
	}{
		{ByEvent, at(1), 1}, {ByEvent, at(10), 2}, {ByEvent, at(13), 3}, {ByEvent, at(22), 3}, {ByEvent, at(23), 0},
		{ByArrival, at(13), 0}, {ByArrival, at(15), 1}, {ByArrival, at(16), 2}, {ByArrival, at(22), 2}, {ByArrival, at(23), 0},
	} {
		rows, _, err := w.export(Options{By: c.by, In: strings.NewReader(lineOf("kettle", c.at)), Views: []View{*forgetting}})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.seen(rows[0]); got != c.want {
			t.Errorf("by %d, at %d: got %d events, want %d", c.by, c.at, got, c.want)
		}
	}
}

// An event whose clock is ahead counts as of when it was written. The row of the same event still does not see it.
func TestARowOfAFutureDoesNotSeeItself(t *testing.T) {
	w := newWorld(t)
	w.produce(&kgo.Record{Topic: updates, Key: []byte("kettle"), Timestamp: time.UnixMilli(at(5)),
		Value: fmt.Appendf(nil, `{"at":%d,"said":%d,"of":{}}`, at(5), at(60))})
	w.produce(&kgo.Record{Topic: "reviews.raw", Timestamp: time.UnixMilli(at(5)), Value: []byte(lineOf("kettle", at(60)))})
	w.produce(&kgo.Record{Topic: "reviews.raw", Timestamp: time.UnixMilli(at(6)), Value: []byte(lineOf("kettle", at(6)))})
	lines := lineOf("kettle", at(60)) + "\n" + lineOf("kettle", at(61))
	for _, o := range []Options{{In: strings.NewReader(lines)}, {Topic: "reviews.raw"}} {
		rows, _, err := w.export(o)
		if err != nil {
			t.Fatal(err)
		}
		seen := []int{w.seen(rows[0]), w.seen(rows[1])}
		if slices.Sort(seen); !slices.Equal(seen, []int{0, 1}) {
			t.Errorf("got %v, want only the later row to see the event", rows)
		}
	}
}

func TestRowsOfATopicComeByPartitionAndOffset(t *testing.T) {
	w := newWorld(t)
	manual := w.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 30 {
		value := lineOf(fmt.Sprint("k", i), at(i))
		if i%10 == 7 {
			value = "no JSON"
		}
		r := &kgo.Record{Topic: "reviews.raw", Partition: int32(i % 3), Value: []byte(value), Timestamp: time.UnixMilli(at(i))}
		if i%10 == 8 {
			r.Value = nil
		}
		if err := manual.ProduceSync(w.ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w.tell(event{key: "k9", at: at(1)})
	_, _, err := w.export(Options{Topic: "reviews.raw"})
	var bad *BadRow
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "reviews.raw[0]@9: not JSON") {
		t.Errorf("got %v, want the first bad record", err)
	}
	rows, report, err := w.export(Options{Topic: "reviews.raw", SkipBad: true, Since: time.UnixMilli(at(5)), Until: time.UnixMilli(at(25))})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows {
		got = append(got, row[strings.Index(row, ":")+2:strings.Index(row, ",")-1])
	}
	if want := "k6 k9 k12 k15 k21 k24 k10 k13 k16 k19 k22 k5 k11 k14 k20 k23"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
	if report.Tombstones != 2 || len(report.Bad) != 1 || report.Bad[0].Rows != 2 || report.Bad[0].What != "no JSON object" || report.Rows != 16 {
		t.Errorf("got report %+v, want 2 tombstones and 2 bad rows", report)
	}
}

func TestRowsThatLackHistoryAreCounted(t *testing.T) {
	w := newWorld(t)
	var events []event
	for i := range 100 {
		events = append(events, event{key: "kettle", at: at(i)})
	}
	w.tell(append(events, event{key: "pot", at: at(50)})...)
	admin := kadm.NewClient(w.client)
	cut := func(key string, before int64) {
		partition := kgo.StickyKeyPartitioner(nil).ForTopic(updates).Partition(&kgo.Record{Key: []byte(key)}, 3)
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: updates, Partition: int32(partition), At: before, LeaderEpoch: -1})
		if deleted, err := admin.DeleteRecords(w.ctx, offsets); err != nil || deleted.Error() != nil {
			t.Fatal(err, deleted.Error())
		}
	}
	lines := strings.Join([]string{lineOf("kettle", at(10)), lineOf("kettle", at(30)), lineOf("kettle", at(31)), lineOf("pot", at(60)), lineOf("kettle", at(99))}, "\n")
	ask := func() ViewReport {
		_, report, err := w.export(Options{In: strings.NewReader(lines)})
		if err != nil {
			t.Fatal(err)
		}
		return report.Views[0]
	}
	if v := ask(); v.Cut || v.Blind+v.Short > 0 {
		t.Errorf("with all of it: got %+v", v)
	}
	cut("kettle", 30)
	if v := ask(); !v.Cut || v.Blind != 2 || v.Short != 2 || v.Since.UnixMilli() != at(30) {
		t.Errorf("without the first 30: got %+v, want 2 blind rows and 2 short ones", v)
	}
	cut("kettle", 100)
	if v := ask(); !v.Cut || v.Blind != 4 || v.Short != 0 || !v.Since.IsZero() {
		t.Errorf("without any: got %+v, want 4 blind rows", v)
	}
}

func TestWhatIsNoUpdateCountsNowhere(t *testing.T) {
	w := newWorld(t)
	w.tell(event{key: "kettle", at: at(1)})
	w.produce(&kgo.Record{Topic: updates, Key: []byte("kettle"), Value: []byte("no update")}, &kgo.Record{Topic: updates, Key: []byte("kettle")},
		&kgo.Record{Topic: updates, Value: []byte("of no key")})
	rows, report, err := w.export(Options{In: strings.NewReader(lineOf("kettle", at(9)))})
	if err != nil {
		t.Fatal(err)
	}
	if w.seen(rows[0]) != 1 || report.Views[0].Unreadable != 2 {
		t.Errorf("got %s and %+v, want one event and two records that are none", rows[0], report)
	}
}

func TestKeyInTwoPartitionsIsRefused(t *testing.T) {
	w := newWorld(t)
	manual := w.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range int32(2) {
		r := &kgo.Record{Topic: updates, Partition: p, Key: []byte("kettle"), Value: event{at: at(1)}.update()}
		if err := manual.ProduceSync(w.ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.export(Options{In: strings.NewReader(lineOf("kettle", at(9)))}); err == nil || !strings.Contains(err.Error(), `key "kettle"`) {
		t.Errorf("got %v, want the key that has updates in two partitions", err)
	}
}

func TestMissingTopicsAreNamed(t *testing.T) {
	w := newWorld(t)
	view := viewOf(user())
	if _, _, err := w.export(Options{Views: []View{*view}, In: strings.NewReader(`{"visitor":{"id":1},"seen":2}`)}); err == nil || !strings.Contains(err.Error(), view.Updates) {
		t.Errorf("got %v, want %s named", err, view.Updates)
	}
	if _, _, err := w.export(Options{Topic: "no.such"}); err == nil || !strings.Contains(err.Error(), "no.such") {
		t.Errorf("got %v, want no.such named", err)
	}
}

func TestEndOfTheContextEndsAnExport(t *testing.T) {
	w := newWorld(t)
	w.tell(randomEvents(rand.New(rand.NewPCG(1, 1)), 50)...)
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	var out bytes.Buffer
	_, err := Run(ctx, Options{Connection: w.kafka, Views: []View{*viewOf(item())}, In: strings.NewReader(lineOf("k1", at(1))), Out: &out})
	if !errors.Is(err, context.Canceled) || out.Len() > 0 {
		t.Errorf("got %v and %d bytes, want the context's end and nothing", err, out.Len())
	}
}

func BenchmarkExport(b *testing.B) {
	const keys, told, asked = 2_000, 200_000, 20_000
	w := newWorld(b)
	rng := rand.New(rand.NewPCG(1, 1))
	events := make([]event, told)
	for i := range events {
		events[i] = event{
			key: fmt.Sprint("item-", rng.IntN(keys)), at: at(i), kind: []string{"view", "review"}[rng.IntN(2)], user: fmt.Sprint("u", rng.IntN(10_000)),
			review: fmt.Sprint("r", i), value: float64(rng.IntN(6)), valued: true,
		}
	}
	w.tell(events...)
	var lines strings.Builder
	for range asked {
		fmt.Fprintln(&lines, lineOf(fmt.Sprint("item-", rng.IntN(keys)), at(rng.IntN(told))))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, report, err := w.export(Options{In: strings.NewReader(lines.String())}); err != nil || report.Rows != asked || report.Views[0].Updates != told {
			b.Fatal(report, err)
		}
	}
	b.ReportMetric(asked*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(told*float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}
