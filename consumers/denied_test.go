//go:build synctests

package consumers_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// rightsOfAMember are all that one needs: see docs/acls.md.
var rightsOfAMember = map[string]kafkatest.ACL{
	"read the input":              {Kind: kmsg.ACLResourceTypeTopic, Name: kafkatest.Input, Operation: kmsg.ACLOperationRead},
	"read the group":              {Kind: kmsg.ACLResourceTypeGroup, Name: kafkatest.Group, Operation: kmsg.ACLOperationRead},
	"write the output":            {Kind: kmsg.ACLResourceTypeTopic, Name: kafkatest.Output, Operation: kmsg.ACLOperationWrite},
	"write dead letters":          {Kind: kmsg.ACLResourceTypeTopic, Name: kafkatest.DeadLetters, Operation: kmsg.ACLOperationWrite},
	"write the transactional ids": {Kind: kmsg.ACLResourceTypeTransactionalId, Name: kafkatest.Group + "/", Prefixed: true, Operation: kmsg.ACLOperationWrite},
}

var kindsOfMembers = map[string]func(*consumers.KafkaConfig){
	"classic":         func(*consumers.KafkaConfig) {},
	"static":          func(c *consumers.KafkaConfig) { c.Static = true },
	"KIP-848":         func(c *consumers.KafkaConfig) { c.GroupProtocol = consumers.ConsumerProtocol },
	"KIP-848, static": func(c *consumers.KafkaConfig) { c.GroupProtocol, c.Static = consumers.ConsumerProtocol, true },
}

// Two members work while a right is withdrawn, and go on when it is given back, within the pause between two tries.
func TestARightThatIsWithdrawnUnderLoadLosesAndDoublesNothing(t *testing.T) {
	for kind, as := range kindsOfMembers {
		for what, right := range rightsOfAMember {
			for _, away := range []time.Duration{100 * time.Millisecond, time.Minute} {
				t.Run(kind+"/"+what+"/"+away.String(), func(t *testing.T) {
					t.Parallel()
					kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 4, Denies: true}, func(w *kafkatest.World) {
						for _, r := range rightsOfAMember {
							w.Allow(r)
						}
						random := rand.New(rand.NewPCG(1, 1))
						load := func(lasts time.Duration) {
							for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
								w.Produce(random, kafkatest.EveryKind(10, 20))
							}
						}
						var workers []*kafkatest.Worker
						for index := range 2 {
							line := w.Line()
							c := config(w, line, index)
							c.Connection = w.As(kafkatest.LogIn(kafkatest.User), line)
							as(&c.Kafka)
							workers = append(workers, w.Start(small(cycle(c, new(kafkatest.Model))), line))
						}
						load(3 * time.Second)
						w.Withdraw(right)
						load(away)
						if away > 30*time.Second {
							for i, worker := range workers {
								s := worker.Status.Snapshot()
								if s.Healthy || s.Blame != pipeline.BlamePermanent || !strings.Contains(s.Err.Error(), "nearline check") {
									t.Errorf("worker %d is healthy %t, blames %v (%v): want unhealthy, permanent, and what to do", i, s.Healthy, s.Blame, s.Err)
								}
								if !strings.Contains(s.Err.Error(), strings.TrimSuffix(right.Name, "/")) {
									t.Errorf("worker %d says %v: want %s in it", i, s.Err, right.Name)
								}
							}
						}
						w.Allow(right)
						load(2 * time.Second)
						finish(t, w, workers...)
					})
				})
			}
		}
	}
}

// Of topics that are asked for together, one may not be seen, and the settings of another not be read.
func TestWhatIsDeniedOfOneTopicIsToldOfTheOthers(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2, Denies: true}, func(w *kafkatest.World) {
		w.Allow(
			kafkatest.ACL{Kind: kmsg.ACLResourceTypeTopic, Name: kafkatest.Input, Operation: kmsg.ACLOperationRead},
			kafkatest.ACL{Kind: kmsg.ACLResourceTypeTopic, Name: kafkatest.Output, Operation: kmsg.ACLOperationWrite},
			kafkatest.ACL{Kind: kmsg.ACLResourceTypeTopic, Name: kafkatest.Output, Operation: kmsg.ACLOperationDescribeConfigs},
		)
		cluster, err := consumers.Dial(w.As(kafkatest.LogIn(kafkatest.User), w.Line()), kafkatest.Log(w.TB))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		topics, err := cluster.Topics(w.Context(), kafkatest.Input, kafkatest.Output, kafkatest.DeadLetters, kafkatest.Output)
		if err != nil {
			t.Fatalf("got %v, want what may be seen", err)
		}
		input, output, letters := topics[kafkatest.Input], topics[kafkatest.Output], topics[kafkatest.DeadLetters]
		if input.Err != nil || input.Partitions != 2 || input.Replicas != 1 || input.MaxRecordBytes != 0 || input.Settings != nil {
			t.Errorf("of the input: got %+v, want all but its settings", input)
		}
		if output.Err != nil || output.Partitions != 2 || output.MaxRecordBytes == 0 || output.Settings == nil {
			t.Errorf("of the output: got %+v, want all", output)
		}
		if err := letters.Err; !errors.Is(err, kerr.TopicAuthorizationFailed) || !strings.Contains(err.Error(), "nearline check") {
			t.Errorf("of the dead letters: got %v, want that they are denied, and what to do", err)
		}
	})
}
