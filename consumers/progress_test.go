//go:build synctests

package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// replica is one process: its line, what it knows of the group's progress, and its members.
type replica struct {
	w        *kafkatest.World
	line     *kafkatest.Line
	config   consumers.Config
	progress *consumers.Progress
	admin    *kadm.Client
}

func newReplica(w *kafkatest.World, change ...func(*consumers.Config)) *replica {
	return replicaOn(w, w.Line(), change...)
}

func replicaOn(w *kafkatest.World, line *kafkatest.Line, change ...func(*consumers.Config)) *replica {
	r := &replica{w: w, line: line}
	r.config = config(w, r.line, 0)
	for _, f := range change {
		f(&r.config)
	}
	cluster, err := consumers.Dial(r.config.Connection, slog.New(slog.DiscardHandler))
	if err != nil {
		w.Fatal(err)
	}
	w.Finally(cluster.Close)
	r.progress = consumers.OpenProgress(r.config.Connection, r.config.Kafka, cluster, r.config.Group, r.config.Topic, r.config.Logger)
	r.config.Progress = r.progress
	client, err := w.Connection(w.Line()).Client()
	if err != nil {
		w.Fatal(err)
	}
	w.Finally(client.Close)
	r.admin = kadm.NewClient(client)
	return r
}

// begin as a service does it, before its members.
func (r *replica) begin(start consumers.Start) {
	r.w.Helper()
	if err := r.progress.Begin(context.Background(), start); err != nil {
		r.w.Fatal(err)
	}
}

func (r *replica) start() *kafkatest.Worker {
	return r.w.Start(small(cycle(r.config, new(kafkatest.Model))), r.line)
}

// work starts a member, waits until all is committed, and stops it.
func (r *replica) work() {
	r.w.Helper()
	worker := r.start()
	if !r.w.AwaitCommits(2 * time.Minute) {
		r.w.Errorf("%d records are not committed after two minutes: %v", r.w.Lag(), worker.Tally.Errors())
	}
	if err := worker.Stop(); err != nil {
		r.w.Errorf("the cycle ended with %v", err)
	}
}

// loseOffsets as brokers do when the group has been empty for longer than they keep them.
func (r *replica) loseOffsets() {
	r.w.Helper()
	var err error
	for range 600 { // a member that stopped while it joined is in the group until its session has ended
		var deleted kadm.DeleteGroupResponses
		if deleted, err = r.admin.DeleteGroups(context.Background(), r.config.Group); err == nil {
			err = deleted[r.config.Group].Err
		}
		if !errors.Is(err, kerr.NonEmptyGroup) {
			break
		}
		time.Sleep(time.Second)
	}
	if err != nil {
		r.w.Fatalf("delete the group: %v", err)
	}
}

var (
	earliest = consumers.Start{}
	latest   = consumers.Start{Latest: true}
	// since is before anything that a test writes: what it means is the same as earliest, and it is noted like latest.
	since = consumers.Start{At: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}
)

func mixed(records int) kafkatest.Mix { return kafkatest.Mix{Records: records, Keys: 20} }

// TestGroupThatLostItsOffsetsGoesOnWhereItWas is what happens to a pipeline that stood still for longer than the brokers keep offsets.
func TestGroupThatLostItsOffsetsGoesOnWhereItWas(t *testing.T) {
	for name, start := range map[string]consumers.Start{"earliest": earliest, "latest": latest, "a time": since} {
		for delivery, change := range map[string]func(*consumers.Config){
			"exactly once":  func(*consumers.Config) {},
			"at least once": func(c *consumers.Config) { c.Delivery = pipeline.AtLeastOnce },
			"static":        func(c *consumers.Config) { c.Kafka.Static = true },
			"KIP-848":       func(c *consumers.Config) { c.Kafka.GroupProtocol = consumers.ConsumerProtocol },
		} {
			t.Run(name+", "+delivery, func(t *testing.T) {
				kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
					random := rand.New(rand.NewPCG(1, 1))
					first := newReplica(w, change)
					first.begin(start)
					w.Produce(random, mixed(100))
					first.work()
					if first.config.Kafka.Static {
						time.Sleep(time.Minute) // a static member keeps its place for that long
					}
					first.loseOffsets()
					w.Produce(random, mixed(100)) // while nobody is there

					registry := prometheus.NewRegistry()
					second := newReplica(w, change, func(c *consumers.Config) { c.Metrics = consumers.NewMetrics(registry, "p") })
					second.begin(start)
					second.work()
					if err := w.Check().Err(); err != nil {
						t.Error(err)
					}
					if got := metric(t, registry, "nearline_consumer_resumed_partitions_total"); got != 4 {
						t.Errorf("nearline_consumer_resumed_partitions_total is %v, want 4", got)
					}
				})
			})
		}
	}
}

// TestGroupThatNeverCommittedKeepsItsStart loses what a group at the latest record has, before anything came.
func TestGroupThatNeverCommittedKeepsItsStart(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 3}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(1, 1))
		w.Forget(w.Produce(random, mixed(60))) // before the group began
		first := newReplica(w)
		first.begin(latest)
		worker := first.start()
		// Where it begins is committed before anything comes: its lag is none.
		if !w.AwaitCommits(time.Minute) {
			t.Errorf("the lag of a group that began at the latest record is %d", w.Lag())
		}
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		first.loseOffsets()
		w.Produce(random, mixed(60))
		second := newReplica(w)
		second.begin(latest)
		second.work()
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestStartOfAFrozenReplicaMovesNoOffset freezes a replica between looking where the latest record is and saying so. Meanwhile another begins,
// scores, commits and stops, so that the group is empty when the first goes on.
func TestStartOfAFrozenReplicaMovesNoOffset(t *testing.T) {
	for name, start := range map[string]consumers.Start{"latest": latest, "a time": since} {
		for _, frozenAt := range []kmsg.Key{kmsg.OffsetFetch, kmsg.ListOffsets} {
			t.Run(fmt.Sprintf("%s, after %s", name, kmsg.NameForKey(int16(frozenAt))), func(t *testing.T) {
				kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
					random := rand.New(rand.NewPCG(1, 1))
					frozen := newReplica(w)
					// The topics are there, as in a second start: what is armed below is then of the question itself.
					frozen.begin(earliest)
					asked := make(chan struct{})
					frozen.line.Arm(frozenAt, skipped(frozenAt, start), kafkatest.Act{Delay: 3 * time.Second, Then: func() { close(asked) }})
					asking, begun := time.Now(), make(chan error, 1)
					go func() { begun <- frozen.progress.Begin(context.Background(), start) }()
					time.Sleep(time.Second) // it has been answered, and does not know

					other := newReplica(w)
					other.begin(start)
					w.Produce(random, mixed(31))
					worker := other.start()
					if !w.AwaitCommits(time.Second) {
						t.Fatal("the other replica did not commit while the first was frozen")
					}
					if err := worker.Stop(); err != nil {
						t.Error(err)
					}
					<-asked
					if err := <-begun; err != nil {
						t.Errorf("the frozen replica: %v", err)
					}
					// Two seconds are between the question and any later one.
					if all := frozen.line.Requests(frozenAt); all[len(all)-1].At.Sub(asking) > time.Second {
						t.Error("it asked again after it was frozen: this test shows nothing")
					}
					w.Produce(random, mixed(10))
					frozen.work()
					if err := w.Check().Err(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// skipped is how many requests of a kind Begin makes before the one in question: it looks twice whether the topic of progress is known, and where there
// is no record after a time yet, it asks for the end last.
func skipped(key kmsg.Key, start consumers.Start) int {
	switch {
	case key != kmsg.ListOffsets:
		return 0
	case start.Latest:
		return 2
	default:
		return 3
	}
}

// TestOffsetsThatAnOperatorSetWin over what is noted, also after they are lost in turn.
func TestOffsetsThatAnOperatorSetWin(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(1, 1))
		load := w.Produce(random, mixed(50))
		newReplica(w).work()
		r := newReplica(w)
		set := kadm.Offsets{}
		set.AddOffset(kafkatest.Input, 0, 40, -1)
		if err := r.admin.CommitAllOffsets(context.Background(), kafkatest.Group, set); err != nil {
			t.Fatal(err)
		}
		r.begin(earliest)
		r.work()
		if got, want := w.Check().Doubled, 10; got != want {
			t.Errorf("%d of %d records were scored again, want %d", got, len(load.Entries), want)
		}
		// An operator goes back, and the offsets are lost before anything is committed.
		set.AddOffset(kafkatest.Input, 0, 45, -1)
		if err := r.admin.CommitAllOffsets(context.Background(), kafkatest.Group, set); err != nil {
			t.Fatal(err)
		}
		r.work()
		if got, want := w.Check().Doubled, 15; got != want {
			t.Errorf("%d records were scored again, want %d", got, want)
		}
	})
}

// TestTopicMadeAnewIsBegunAnew although the group's name and the topic's are the same.
func TestTopicMadeAnewIsBegunAnew(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(1, 1))
		for i := range 50 {
			write(w, kafkatest.Input, "k", fmt.Sprint("good ", i))
		}
		first := newReplica(w)
		first.work()
		first.loseOffsets()
		ctx := context.Background()
		if _, err := first.admin.DeleteTopics(ctx, kafkatest.Input, kafkatest.Output); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{kafkatest.Input, kafkatest.Output} {
			if _, err := first.admin.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
				t.Fatal(err)
			}
		}
		w.Produce(random, mixed(80)) // more than the old one had
		second := newReplica(w)
		second.begin(earliest)
		second.work()
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestPlaceBeyondTheLogIsRefused rather than records skipped, whoever wrote it; and what an operator then says counts.
func TestPlaceBeyondTheLogIsRefused(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		r := newReplica(w)
		r.begin(earliest)
		topics, err := r.admin.ListTopics(context.Background(), kafkatest.Input)
		if err != nil {
			t.Fatal(err)
		}
		forgePlace(w, "place/"+kafkatest.Group+"/"+kafkatest.Input+"/0", fmt.Sprintf(`{"id":%q,"offset":1000,"at":1}`, topics[kafkatest.Input].ID.String()))
		w.Produce(rand.New(rand.NewPCG(1, 1)), mixed(20))
		worker := r.start()
		time.Sleep(time.Minute)
		refused := false
		for _, err := range worker.Tally.Errors() {
			said := err.Error()
			refused = refused || strings.Contains(said, "--group nearline-reviews --topic reviews.raw:0 --reset-offsets --to-offset 20")
		}
		if !refused {
			t.Errorf("want it refused, with the command that says where to go on; got %v", worker.Tally.Errors())
		}
		if n := worker.Tally.Taken.Load(); n > 0 {
			t.Errorf("%d records were taken", n)
		}
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		set := kadm.Offsets{}
		set.AddOffset(kafkatest.Input, 0, 0, -1)
		if err := r.admin.CommitAllOffsets(context.Background(), kafkatest.Group, set); err != nil {
			t.Fatal(err)
		}
		r.work()
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestNotesThatAreNotOursAreIgnored: broken ones, others' and those of other groups with similar names.
func TestNotesThatAreNotOursAreIgnored(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		r := newReplica(w)
		r.begin(earliest)
		ours := "place/" + kafkatest.Group + "/" + kafkatest.Input + "/"
		for key, value := range map[string]string{
			ours + "0":  `{"offset":-5,"at":1}`,
			ours + "00": `{"offset":7,"at":1}`,
			ours + "+0": `{"offset":7,"at":1}`,
			ours + "x":  `{"offset":7,"at":1}`,
			"place/" + kafkatest.Group + "-2/" + kafkatest.Input + "/0": `{"offset":7,"at":1}`,
			"beginning/" + kafkatest.Group + "/" + kafkatest.Input:      `{"start":"latest","offsets":{"0":-7}}`,
			"": `7`,
		} {
			forgePlace(w, key, value)
		}
		w.Produce(rand.New(rand.NewPCG(1, 1)), mixed(20))
		newReplica(w).work()
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

func forgePlace(w *kafkatest.World, key, value string) {
	w.Helper()
	write(w, kafkatest.Progress, key, value)
}

// write with a client that knows the topics as they are now.
func write(w *kafkatest.World, topic, key, value string) {
	w.Helper()
	client, err := w.Connection(w.Line()).Client()
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
	if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

// TestProgressTopicThatIsDeletedIsMadeAgain while members are at work, and knows again what they committed.
func TestProgressTopicThatIsDeletedIsMadeAgain(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(1, 1))
		first := newReplica(w)
		w.Produce(random, mixed(50))
		worker := first.start()
		if !w.AwaitCommits(time.Minute) {
			t.Fatal("nothing is committed")
		}
		if _, err := first.admin.DeleteTopics(context.Background(), kafkatest.Progress); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		w.Produce(random, mixed(50))
		if !w.AwaitCommits(5 * time.Minute) {
			t.Errorf("%d records are left: %v", w.Lag(), worker.Tally.Errors())
		}
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		first.loseOffsets()
		newReplica(w).work()
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestMemberThatTheGroupHasGivenUpNotesNoPlace: it freezes between its assignment and its note, while another takes over and goes on.
func TestMemberThatTheGroupHasGivenUpNotesNoPlace(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(1, 1))
		w.Produce(random, mixed(50))
		newReplica(w).work()

		line := w.Line()
		asked := make(chan struct{})
		line.Arm(kmsg.OffsetFetch, 0, kafkatest.Act{Delay: 9 * time.Second, Then: func() { close(asked) }})
		line.Arm(kmsg.Heartbeat, 0, kafkatest.Act{Delay: 9500 * time.Millisecond})
		frozen := replicaOn(w, line, func(c *consumers.Config) { c.Kafka.Replica = "frozen" }).start()
		time.Sleep(100 * time.Millisecond)
		w.Produce(random, mixed(50))
		other := newReplica(w)
		heir := other.start()
		if !w.AwaitCommits(time.Minute) {
			t.Fatalf("%d records are left: %v", w.Lag(), heir.Tally.Errors())
		}
		select {
		case <-asked:
			t.Fatal("the frozen member was not frozen for long enough: this test shows nothing")
		default:
		}
		time.Sleep(time.Minute)
		for _, worker := range []*kafkatest.Worker{frozen, heir} {
			if err := worker.Stop(); err != nil {
				t.Error(err)
			}
		}
		other.loseOffsets()
		newReplica(w).work()
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestOffsetsOfAnEarlierReleaseAreNoted: a group that has offsets and no notes has them noted before anything comes.
func TestOffsetsOfAnEarlierReleaseAreNoted(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 3}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(1, 1))
		w.Produce(random, mixed(50))
		old := newReplica(w)
		old.config.Progress = nil
		old.work()
		now := newReplica(w)
		worker := now.start()
		time.Sleep(time.Minute) // it has nothing to do
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		now.loseOffsets()
		w.Produce(random, mixed(50))
		newReplica(w).work()
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestLossToRetentionIsCountedWithoutOffsets: where the group goes on without an offset, it still knows what it has not read.
func TestLossToRetentionIsCountedWithoutOffsets(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(1, 1))
		w.Produce(random, mixed(30))
		first := newReplica(w)
		first.work()
		first.loseOffsets()
		w.Forget(w.Produce(random, mixed(30)))
		if err := w.Cluster.DeleteRecords(kafkatest.Input, 0, 45); err != nil {
			t.Fatal(err)
		}
		registry := prometheus.NewRegistry()
		newReplica(w, func(c *consumers.Config) { c.Metrics = consumers.NewMetrics(registry, "p") }).work()
		if got := metric(t, registry, "nearline_consumer_retention_lost_records_total"); got != 15 {
			t.Errorf("%v records are counted as lost to retention, want 15", got)
		}
	})
}

// TestAtLeastOnceMemberReadsAgainWhatItGaveBack also where its group has committed nothing yet.
func TestAtLeastOnceMemberReadsAgainWhatItGaveBack(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), mixed(100))
		r := newReplica(w, func(c *consumers.Config) { c.Delivery = pipeline.AtLeastOnce })
		model := &kafkatest.Model{Fails: func(run int) error {
			if run == 0 {
				return kafkatest.ErrModel
			}
			return nil
		}}
		worker := w.Start(small(cycle(r.config, model)), r.line)
		if !w.AwaitCommits(time.Minute) {
			t.Errorf("%d records are not committed", w.Lag())
		}
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestAtLeastOnceMemberNotesOnlyWhatItHasCommitted has the group refuse every commit: what it does not know is not to be noted either.
func TestAtLeastOnceMemberNotesOnlyWhatItHasCommitted(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
		refusing := w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed, Count: -1})
		w.Produce(rand.New(rand.NewPCG(1, 1)), mixed(40))
		r := newReplica(w, func(c *consumers.Config) { c.Delivery = pipeline.AtLeastOnce })
		worker := r.start()
		time.Sleep(time.Minute)
		if refusing.Hits() == 0 {
			t.Fatal("nothing was to be committed: this test shows nothing")
		}
		if places, err := r.progress.Places(context.Background()); err != nil || len(places) > 0 {
			t.Errorf("got places %v, %v, and nothing is committed", places, err)
		}
		refusing.Remove()
		if !w.AwaitCommits(2 * time.Minute) {
			t.Errorf("%d records are not committed", w.Lag())
		}
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		placesAgree(r)
	})
}
