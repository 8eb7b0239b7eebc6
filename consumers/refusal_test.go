//go:build synctests

package consumers_test

import (
	"bytes"
	crand "crypto/rand"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// brokerLimit is the largest batch that the brokers of these tests take.
const brokerLimit = 64 << 10

func TestMemberDeadLettersExactlyTheRefusedRecords(t *testing.T) {
	for name, c := range map[string]struct {
		tooLarge int
		refused  int // in a thousand
		fault    *kerr.Error
	}{
		"the client finds some too large":  {tooLarge: 2 << 20, refused: 30},
		"the broker finds some too large":  {tooLarge: 2 * brokerLimit, refused: 30},
		"the broker finds half too large":  {tooLarge: 2 * brokerLimit, refused: 500},
		"the broker finds one invalid":     {refused: 5, fault: kerr.InvalidRecord},
		"the broker finds several invalid": {refused: 50, fault: kerr.InvalidRecord},
		"a timestamp out of range":         {refused: 20, fault: kerr.InvalidTimestamp},
	} {
		for _, members := range []int{1, 2} {
			t.Run(name, func(t *testing.T) {
				kafkatest.Run(t, kafkatest.Shape{Brokers: 2, Partitions: 3, Options: []kfake.Opt{
					kfake.BrokerConfigs(map[string]string{"message.max.bytes": "65536"}),
				}}, func(w *kafkatest.World) {
					mix := kafkatest.EveryKind(150, 20)
					mix.Odd[kafkatest.Refused] = c.refused
					w.Produce(rand.New(rand.NewPCG(1, 1)), mix)
					if c.fault != nil {
						refuse(w, kafkatest.Output, c.fault, "scored refused")
					}
					var workers []*kafkatest.Worker
					for i := range members {
						line := w.Line()
						cycle := small(cycle(config(w, line, i), new(kafkatest.Model)))
						cycle.Builder = kafkatest.Always(kafkatest.Builder{TooLarge: c.tooLarge})
						workers = append(workers, w.Start(cycle, line))
					}
					finish(t, w, workers...)
				})
			})
		}
	}
}

// heavy has results of a third of what the brokers take in one batch.
type heavy struct{ kafkatest.Builder }

func (h heavy) Result(row *pipeline.Row) (pipeline.Output, *pipeline.Fault) {
	output, fault := h.Builder.Result(row)
	filler := make([]byte, brokerLimit/3)
	_, _ = crand.Read(filler) // never fails
	output.Headers = append(output.Headers, pipeline.Header{Key: "filler", Value: filler})
	return output, fault
}

// TestRecordsThatAreRefusedTogetherAloneBecomeNoDeadLetters has brokers that take smaller batches than the config says: each record by itself is taken.
func TestRecordsThatAreRefusedTogetherAloneBecomeNoDeadLetters(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 2, Partitions: 2, Options: []kfake.Opt{
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "65536"}),
	}}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.Mix{Records: 60, Keys: 10})
		line := w.Line()
		cycle := small(cycle(config(w, line, 0), new(kafkatest.Model)))
		cycle.Builder = kafkatest.Always(heavy{})
		worker := w.Start(cycle, line)
		finish(t, w, worker)
		if len(worker.Tally.Errors()) == 0 {
			t.Error("no batch was refused: this test shows nothing")
		}
	})
}

// refuse batches of a topic with a value that begins so. A request may have those of several partitions; the others are taken.
func refuse(w *kafkatest.World, topic string, with *kerr.Error, prefix string) {
	for p := range int32(8) { // more than there are
		w.Cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{p}, Err: with, Count: -1,
			When: func(r kmsg.Request) bool { return carries(r.(*kmsg.ProduceRequest), p, prefix) },
		})
	}
}

// carries says that a request carries a record for a partition whose value begins so.
func carries(r *kmsg.ProduceRequest, p int32, prefix string) bool {
	for _, topic := range r.Topics {
		for _, partition := range topic.Partitions {
			var batch kmsg.RecordBatch
			if partition.Partition != p || batch.ReadFrom(partition.Records) != nil {
				continue
			}
			records, err := kfake.BatchRecords(batch)
			if err != nil {
				continue
			}
			for _, record := range records {
				if bytes.HasPrefix(record.Value, []byte(prefix)) {
					return true
				}
			}
		}
	}
	return false
}

func TestMemberWaitsLongWhereEvenADeadLetterIsRefused(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1, Options: []kfake.Opt{
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "65536"}),
	}}, func(w *kafkatest.World) {
		w.ProduceKinds(kafkatest.Good, kafkatest.Refused, kafkatest.Good)
		line := w.Line()
		model := new(kafkatest.Model)
		c := cycle(config(w, line, 0), model)
		c.Builder = kafkatest.Always(kafkatest.Builder{TooLarge: 2 * brokerLimit, LargeLetters: true})
		worker := w.Start(c, line)
		time.Sleep(10 * time.Minute)
		snapshot := worker.Status.Snapshot()
		if snapshot.Healthy || snapshot.Blame != pipeline.BlamePermanent {
			t.Errorf("the status is healthy %t, blames %v: want unhealthy, permanent", snapshot.Healthy, snapshot.Blame)
		}
		if runs, _ := model.Runs(); runs > 60 {
			t.Errorf("the model ran %d times in ten minutes over records that cannot be published: want few", runs)
		}
		if lag := w.Lag(); lag != 3 {
			t.Errorf("%d records are left: want all 3, since none may be lost", lag)
		}
		// Somebody raises the limit: then even the result fits.
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		next := w.Line()
		worker = w.Start(cycle(config(w, next, 0), model), next)
		w.AwaitCommits(time.Minute)
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		if r := w.Check(); r.Misplaced != 1 || r.Lost+r.Doubled+r.Disordered > 0 {
			t.Errorf("want the result of the one record in place of its dead letter, got: %v", r.Err())
		}
	})
}
