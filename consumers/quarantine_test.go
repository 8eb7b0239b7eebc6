//go:build synctests

package consumers_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// process is a replica as its supervisor sees it: started anew, under the same name, whenever it has ended.
type process struct {
	world   *kafkatest.World
	replica string
	members int
	config  func(*consumers.Config)
	cycle   pipeline.CycleConfig // the zero one is small
	line    *kafkatest.Line
	starts  int
	died    atomic.Bool

	mu      sync.Mutex // guards workers: a first member may end the process while the next is still being started
	workers []*kafkatest.Worker
}

func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starts++
	p.died.Store(false)
	p.workers = p.workers[:0]
	line := p.world.Line()
	p.line = line
	attempts := openAttempts(p.world, line, fmt.Sprintf("%s, start %d", p.replica, p.starts))
	for index := range p.members {
		c := config(p.world, line, index)
		c.Kafka.Replica, c.Attempts = p.replica, attempts
		if p.config != nil {
			p.config(&c)
		}
		model := &kafkatest.Model{
			Takes: func(int) time.Duration { return 5 * time.Millisecond },
			Dies:  p.kill,
		}
		cycle := small(cycle(c, model))
		if p.cycle.MaxRecords > 0 {
			cycle.Config = p.cycle
		}
		p.workers = append(p.workers, p.world.Start(cycle, line))
	}
}

// kill is the end of a process, which takes all of its members with it.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.died.CompareAndSwap(false, true) {
		for _, worker := range p.workers {
			worker.Kill()
		}
	}
}

func openAttempts(w *kafkatest.World, line *kafkatest.Line, by string) *consumers.Attempts {
	attempts, err := consumers.OpenAttempts(w.Connection(line), consumers.DefaultKafka(), slog.New(slog.DiscardHandler))
	if err != nil {
		w.Fatal(err)
	}
	attempts.As(by)
	w.Finally(attempts.Close)
	return attempts
}

// supervise starts what has died, until all is committed.
func supervise(t *testing.T, w *kafkatest.World, limit time.Duration, processes ...*process) kafkatest.Report {
	t.Helper()
	for _, p := range processes {
		p.start()
	}
	for end := time.Now().Add(limit); !w.AwaitCommits(time.Second); {
		for _, p := range processes {
			if p.died.Load() {
				p.start()
			}
		}
		if time.Now().After(end) {
			t.Errorf("%d records are not committed after %v", w.Lag(), limit)
			break
		}
	}
	for _, p := range processes {
		for _, worker := range p.workers {
			if err := worker.Stop(); err != nil {
				t.Errorf("a cycle ended with %v", err)
			}
		}
	}
	return w.Check()
}

func TestRecordThatEndsTheProcessBecomesADeadLetter(t *testing.T) {
	for name, delivery := range map[string]pipeline.Delivery{"exactly once": pipeline.ExactlyOnce, "at least once": pipeline.AtLeastOnce} {
		t.Run(name, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 4}, func(w *kafkatest.World) {
				mix := kafkatest.EveryKind(300, 40)
				w.Produce(rand.New(rand.NewPCG(1, 1)), mix)
				w.ProduceKinds(kafkatest.Deadly)
				w.Produce(rand.New(rand.NewPCG(2, 2)), mix)
				w.ProduceKinds(kafkatest.Deadly, kafkatest.Good, kafkatest.Deadly)
				w.Produce(rand.New(rand.NewPCG(3, 3)), mix)
				deliver := func(c *consumers.Config) { c.Delivery = delivery }
				one, two := &process{world: w, replica: "one", members: 2, config: deliver}, &process{world: w, replica: "two", members: 2, config: deliver}
				report := supervise(t, w, 10*time.Minute, one, two)
				if delivery == pipeline.AtLeastOnce {
					report = report.AtLeastOnce()
				}
				if err := report.Err(); err != nil {
					t.Error(err)
				}
				t.Logf("%d starts in all", one.starts+two.starts)
				if starts := one.starts + two.starts; starts > 2+3*6 {
					t.Errorf("3 deadly records cost %d starts: want at most 6 each", starts-2)
				}
			})
		})
	}
}

// TestRecordThatEndsTheProcessIsFoundWhateverBrokersTidyUp has the brokers compact, and delete by retention, between any two deaths.
func TestRecordThatEndsTheProcessIsFoundWhateverBrokersTidyUp(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 1, Partitions: 2}, func(w *kafkatest.World) {
		remakeAttempts(w)
		mix := kafkatest.EveryKind(100, 40)
		w.Produce(rand.New(rand.NewPCG(1, 1)), mix)
		w.ProduceKinds(kafkatest.Deadly)
		w.Produce(rand.New(rand.NewPCG(2, 2)), mix)
		p := &process{world: w, replica: "one", members: 2}
		tidy := time.NewTicker(time.Second)
		tidied, end := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(tidied)
			for {
				select {
				case <-tidy.C:
					w.Cluster.ApplyRetention()
					w.Cluster.Compact()
				case <-end:
					return
				}
			}
		}()
		report := supervise(t, w, 10*time.Minute, p)
		tidy.Stop()
		close(end)
		<-tidied
		if err := report.Err(); err != nil {
			t.Error(err)
		}
		if p.starts > 1+6 {
			t.Errorf("a deadly record cost %d starts: want at most 6", p.starts-1)
		}
	})
}

// remakeAttempts has the topic of attempts made anew, as the service makes it.
func remakeAttempts(w *kafkatest.World) {
	w.Helper()
	kafka := consumers.DefaultKafka()
	cluster, err := consumers.Dial(w.Connection(w.Line()), slog.New(slog.DiscardHandler))
	if err != nil {
		w.Fatal(err)
	}
	defer cluster.Close()
	client, err := w.Connection(w.Line()).Client()
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopic(context.Background(), kafkatest.Attempts); err != nil {
		w.Fatal(err)
	}
	if err := cluster.EnsureAttempts(context.Background(), kafka, kafkatest.Group); err != nil {
		w.Fatal(err)
	}
}

func TestProcessesThatAreKilledCondemnNoRecord(t *testing.T) {
	for seed := range uint64(8) {
		kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 4}, func(w *kafkatest.World) {
			random := rand.New(rand.NewPCG(seed, 0))
			w.Produce(random, kafkatest.EveryKind(1500, 40))
			one, two := &process{world: w, replica: "one", members: 1}, &process{world: w, replica: "two", members: 2}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 25 {
					time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
					[]*process{one, two}[random.IntN(2)].kill()
				}
			}()
			if err := supervise(t, w, 20*time.Minute, one, two).Err(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
}

func TestLargeCycleThatEndsTheProcessIsTakenInParts(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 1, Partitions: 1}, func(w *kafkatest.World) {
		mix := kafkatest.EveryKind(700, 40)
		w.Produce(rand.New(rand.NewPCG(1, 1)), mix)
		w.ProduceKinds(kafkatest.Deadly)
		w.Produce(rand.New(rand.NewPCG(2, 2)), mix)
		p := &process{world: w, replica: "one", members: 1, cycle: pipeline.DefaultCycle()}
		if err := supervise(t, w, 10*time.Minute, p).Err(); err != nil {
			t.Error(err)
		}
		// The first cycle of all, in 64s, in 8s, alone, alone again; then there is no doubt left to die of.
		if p.starts != 6 {
			t.Errorf("a deadly record in a large cycle cost %d starts: want 6", p.starts)
		}
	})
}

// committedKeys produces 20 good records, waits for their effects, and returns a key of each partition.
func committedKeys(w *kafkatest.World) map[int32]string {
	keys := make(map[int32]string)
	for _, e := range w.ProduceKinds(slices.Repeat([]kafkatest.Kind{kafkatest.Good}, 20)...).Entries {
		keys[e.At.Partition] = e.Key
	}
	w.AwaitCommits(time.Minute)
	return keys
}

func TestDoubtEndsWhereItsRecordsAreGone(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 1, Partitions: 2}, func(w *kafkatest.World) {
		p := &process{world: w, replica: "one", members: 1}
		p.start()
		keys := committedKeys(w)
		doomed := w.ProduceEntries([]kafkatest.Entry{{Number: 20, Kind: kafkatest.Deadly, Key: keys[0]}})
		for !p.died.Load() {
			time.Sleep(time.Second)
		}
		p.start()
		// Between the poll that finds the doubt, which asks where the topic of attempts ends, and the next, retention takes the
		// record. The topic's client asks once before.
		var asked atomic.Int32
		p.line.Sniff(func(key kmsg.Key) {
			if key == kmsg.ListOffsets && asked.Add(1) == 2 {
				if err := w.Cluster.DeleteRecords(kafkatest.Input, 0, doomed.Entries[0].At.Offset+1); err != nil {
					t.Error(err)
				}
			}
		})
		w.Forget(doomed)
		time.Sleep(12 * time.Second) // the place of the dead is free, and the doubt is there
		for i := range 40 {
			w.ProduceEntries([]kafkatest.Entry{{Number: 20 + i, Kind: kafkatest.Good, Key: keys[1]}})
		}
		if w.AwaitCommits(5 * time.Second) {
			t.Error("the other partition did not wait for the records in doubt: this test shows nothing")
		}
		time.Sleep(15 * time.Second)
		w.ProduceEntries([]kafkatest.Entry{{Number: 60, Kind: kafkatest.Good, Key: keys[0]}})
		if !w.AwaitCommits(time.Minute) {
			t.Errorf("%d records wait behind some that are gone", w.Lag())
		}
		for _, worker := range p.workers {
			if err := worker.Stop(); err != nil {
				t.Error(err)
			}
		}
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestOthersGoOnOnceTheLastRecordOfTheirPartitionIsInDoubtNoMore(t *testing.T) {
	showed := 0
	for try := 0; try < 3 || showed == 0 && try < 20; try++ {
		kafkatest.Run(t, kafkatest.Shape{Brokers: 1, Partitions: 2}, func(w *kafkatest.World) {
			if othersWaitForTheDoubtAlone(t, w) {
				showed++
			}
		})
	}
	if showed == 0 {
		t.Error("the other partition never waited for the record in doubt: this test shows nothing")
	}
}

// othersWaitForTheDoubtAlone has a partition end with a record that ends the process, and says whether the other one waited for that. It need not: a
// process that reads the other one first has nothing in doubt yet.
func othersWaitForTheDoubtAlone(t *testing.T, w *kafkatest.World) (waited bool) {
	p := &process{world: w, replica: "one", members: 1}
	p.start()
	keys := committedKeys(w)
	w.ProduceEntries([]kafkatest.Entry{{Number: 20, Kind: kafkatest.Deadly, Key: keys[0]}})
	for !p.died.Load() {
		time.Sleep(time.Second)
	}
	const others = 40
	for i := range others {
		w.ProduceEntries([]kafkatest.Entry{{Number: 21 + i, Kind: kafkatest.Good, Key: keys[1]}})
	}
	var done time.Time // when nothing was in doubt any more
	for began := time.Now(); w.Lag() > 0; time.Sleep(50 * time.Millisecond) {
		if p.died.Load() {
			p.start()
		}
		switch lags := w.Lags(); {
		case lags[0] > 0:
			waited = lags[1] == others
		case done.IsZero():
			done = time.Now()
		}
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("%d records are not committed after %v", w.Lag(), time.Since(began))
		}
	}
	if late := time.Since(done); !done.IsZero() && late > 2*time.Second {
		t.Errorf("the other partition waited %v after the record in doubt was committed", late)
	}
	for _, worker := range p.workers {
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
	}
	if err := w.Check().Err(); err != nil {
		t.Error(err)
	}
	return waited
}

// kafka is an administrator of a world.
func kafka(w *kafkatest.World) (*kgo.Client, *kadm.Client) {
	client, err := w.Connection(w.Line()).Client()
	if err != nil {
		w.Fatal(err)
	}
	w.Finally(client.Close)
	return client, kadm.NewClient(client)
}

// forge writes marks of the first partition.
func forge(w *kafkatest.World, marks ...string) {
	client, _ := kafka(w)
	for _, mark := range marks {
		record := &kgo.Record{Topic: kafkatest.Attempts, Key: []byte(kafkatest.Group + "/" + kafkatest.Input + "/0"), Value: []byte(mark)}
		if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			w.Fatal(err)
		}
	}
}

func TestForgedMarkCondemnsNoRecord(t *testing.T) {
	const by, other = "AAAAAAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBBBBBB"
	for name, marks := range map[string][]string{
		"of nobody":                  {`{"by":"x","from":0,"until":1,"size":1,"end":1,"deaths":9}`},
		"of a process, it seems":     {`{"by":"` + by + `","from":0,"until":1,"size":1,"end":1,"deaths":1}`},
		"of two":                     {`{"by":"` + by + `","from":0,"until":1,"size":1,"end":1}`, `{"by":"` + other + `","from":0,"until":1,"size":1,"end":1,"deaths":1}`},
		"the same twice":             {`{"by":"` + by + `","from":0,"until":1,"size":1,"end":1,"deaths":1}`, `{"by":"` + other + `","from":0,"until":1,"size":1,"end":1,"deaths":1}`},
		"beyond the end of the log":  {`{"by":"` + by + `","from":0,"until":9000000}`},
		"of records that are behind": {`{"by":"` + by + `","from":0,"until":8,"size":8,"end":9000000}`},
	} {
		t.Run(name, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Brokers: 1, Partitions: 1}, func(w *kafkatest.World) {
				forge(w, marks...)
				w.ProduceKinds(slices.Repeat([]kafkatest.Kind{kafkatest.Good}, 40)...)
				p := &process{world: w, replica: "one", members: 1}
				began := time.Now()
				if err := supervise(t, w, 10*time.Minute, p).Err(); err != nil {
					t.Error(err) // a good record that became a dead letter
				}
				if took := time.Since(began); p.starts != 1 || took > time.Minute {
					t.Errorf("a forged mark cost %d starts and %v: want one start, and a few small cycles", p.starts, took)
				}
			})
		})
	}
}

// TestTransactionAmongTheMarksStopsNobody: its marker, which is no record, is the end of the topic.
func TestTransactionAmongTheMarksStopsNobody(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 1, Partitions: 1}, func(w *kafkatest.World) {
		client, err := w.Connection(w.Line()).Client(kgo.TransactionalID("stranger"))
		if err != nil {
			t.Fatal(err)
		}
		w.Finally(client.Close)
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		record := &kgo.Record{Topic: kafkatest.Attempts, Key: []byte("key"), Value: []byte("value")}
		if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(context.Background(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		w.ProduceKinds(slices.Repeat([]kafkatest.Kind{kafkatest.Good}, 40)...)
		p := &process{world: w, replica: "one", members: 1}
		if err := supervise(t, w, time.Minute, p).Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestWorkGoesOnAfterTheTopicOfAttemptsIsDeleted(t *testing.T) {
	for name, again := range map[string]bool{"it is made again by the service": false, "it was made again by somebody": true} {
		t.Run(name, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 2}, func(w *kafkatest.World) {
				_, admin := kafka(w)
				mix := kafkatest.EveryKind(100, 20)
				one, two := &process{world: w, replica: "one", members: 1}, &process{world: w, replica: "two", members: 1}
				one.start()
				w.Produce(rand.New(rand.NewPCG(1, 1)), mix)
				if !w.AwaitCommits(time.Minute) {
					t.Fatalf("%d records are not committed: this test shows nothing", w.Lag())
				}
				if _, err := admin.DeleteTopic(context.Background(), kafkatest.Attempts); err != nil {
					t.Fatal(err)
				}
				if again {
					if _, err := admin.CreateTopic(context.Background(), 1, 1, nil, kafkatest.Attempts); err != nil {
						t.Fatal(err)
					}
				}
				// A member that joins has to look for marks, and to write some; so has the one that is there, whose partitions change hands.
				two.start()
				w.Produce(rand.New(rand.NewPCG(2, 2)), mix)
				w.ProduceKinds(kafkatest.Deadly)
				w.Produce(rand.New(rand.NewPCG(3, 3)), mix)
				end := time.Now().Add(5 * time.Minute)
				for !w.AwaitCommits(time.Second) && time.Now().Before(end) {
					for _, p := range []*process{one, two} {
						if p.died.Load() {
							p.start()
						}
					}
				}
				if w.Lag() > 0 {
					t.Errorf("%d records are not committed", w.Lag())
				}
				for _, p := range []*process{one, two} {
					for _, worker := range p.workers {
						if err := worker.Stop(); err != nil {
							t.Error(err)
						}
					}
				}
				if err := w.Check().Err(); err != nil {
					t.Error(err)
				}
				if topics, err := admin.ListTopics(context.Background(), kafkatest.Attempts); err != nil || topics[kafkatest.Attempts].Err != nil {
					t.Errorf("the topic of attempts is not there again: %v, %v", err, topics[kafkatest.Attempts].Err)
				}
			})
		})
	}
}

// A process that has read the marks of a topic reads those of the one that was made anew under its name, from its beginning.
func TestMarksOfATopicThatWasMadeAnewAreRead(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 1}, func(w *kafkatest.World) {
		_, admin := kafka(w)
		ctx := context.Background()
		first, second := openAttempts(w, w.Line(), "first"), openAttempts(w, w.Line(), "second")
		mark := func(a *consumers.Attempts, from int64) {
			if err := a.Mark(ctx, kafkatest.Group, kafkatest.Input, 0, from); err != nil {
				t.Fatal(err)
			}
		}
		want := func(from int64) {
			got, marked, err := first.Marked(ctx, kafkatest.Group, kafkatest.Input, 0)
			if err != nil || !marked || got != from {
				t.Errorf("the last mark is of %d, %t, %v; want %d", got, marked, err, from)
			}
		}
		for from := range int64(5) {
			mark(first, from)
		}
		want(4)
		if _, err := admin.DeleteTopic(ctx, kafkatest.Attempts); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CreateTopic(ctx, 1, 1, nil, kafkatest.Attempts); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mark(second, 7)
		want(7)
	})
}

func TestTopicOfAttemptsIsMadeWhereItIsMissing(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 1}, func(w *kafkatest.World) {
		line := w.Line()
		cluster, err := consumers.Dial(w.Connection(line), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		w.Finally(cluster.Close)
		for range 2 { // the second time it is there
			if err := cluster.EnsureTopic(context.Background(), consumers.AttemptsTopic("elsewhere")); err != nil {
				t.Fatal(err)
			}
		}
		found, err := cluster.Topics(context.Background(), "elsewhere")
		if err != nil {
			t.Fatal(err)
		}
		if got := found["elsewhere"]; got.Partitions != 1 || got.Replicas != 3 || got.Compacted || got.Retention != 24*time.Hour || !got.Times.Brokers {
			t.Errorf("got %+v: want one partition, three replicas, and every record of the last day by the brokers' clocks", got)
		}
		if n := len(line.Requests(kmsg.CreateTopics)); n != 1 {
			t.Errorf("the topic was made %d times: want once", n)
		}
	})
}
