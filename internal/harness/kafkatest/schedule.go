//go:build synctests

package kafkatest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/pipeline"
)

// Build makes the source of a member: the build under test.
type Build func(w *World, line *Line, index int) (pipeline.Source, error)

// Schedule is one random story: a cluster, a load, members and what befalls them. The seed fixes the story; how the
// goroutines interleave in it, it does not.
type Schedule struct {
	Seed  uint64
	Build Build
	// Refusals adds records whose results the broker refuses.
	Refusals bool
	// Options of the cluster.
	Options []kfake.Opt
}

// Outcome of a schedule.
type Outcome struct {
	Report Report
	// AllCommitted says that the group has committed all of the input.
	AllCommitted bool
	// Rescued says that that came about only by emptying the group: see rescue.
	Rescued bool
	// Left are the records that the group had not committed in the end.
	Left int64
	// Polled and Committed cycles of all members.
	Polled, Committed int64
	// Story is what happened, in order.
	Story []string
}

// Run the schedule in a bubble of its own.
func (s Schedule) Run(t *testing.T) (o Outcome) {
	t.Helper()
	random := rand.New(rand.NewPCG(s.Seed, 0x6e6561726c696e65)) //nolint:gosec // a story, not a secret
	shape := Shape{Brokers: 1 + random.IntN(3), Partitions: 1 + random.Int32N(5), Options: s.Options}
	shape.Outputs = 1 + random.Int32N(4)
	Run(t, shape, func(w *World) {
		d := &drama{World: w, random: random, schedule: s, brokers: shape.Brokers, outcome: &o}
		d.play()
	})
	return o
}

// drama is a schedule as it is played.
type drama struct {
	*World
	random   *rand.Rand
	schedule Schedule
	brokers  int
	outcome  *Outcome

	mu      sync.Mutex // guards tricks
	tricks  map[int]trick
	all     []*Worker
	living  map[int]*Worker
	removed []int32
}

// trick is what a worker finds at its next point or run.
type trick struct {
	freeze time.Duration
	fail   bool
}

func (d *drama) tell(format string, args ...any) {
	at := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Round(time.Millisecond)
	d.outcome.Story = append(d.outcome.Story, fmt.Sprintf("%v %s", at, fmt.Sprintf(format, args...)))
}

func (d *drama) play() {
	d.living, d.tricks = make(map[int]*Worker), make(map[int]trick)
	d.produce()
	members := 1 + d.random.IntN(4)
	for i := range members {
		d.start(i)
		d.pause(2 * time.Second)
	}
	for range 2 + d.random.IntN(7) {
		d.strike(members)
		d.pause(6 * time.Second)
	}
	d.heal(members)
	if d.outcome.AllCommitted = d.AwaitCommits(5 * time.Minute); !d.outcome.AllCommitted {
		d.rescue()
	}
	for _, worker := range d.all {
		worker.Ask()
	}
	for _, worker := range d.all {
		if err := worker.Stop(); err != nil {
			d.Errorf("seed %d: a cycle ended with %v", d.schedule.Seed, err)
		}
		d.outcome.Polled += worker.Tally.Polls.Load()
		d.outcome.Committed += worker.Tally.Committed.Load()
	}
	d.outcome.Left = d.Lag()
	d.outcome.Report = d.Check()
}

func (d *drama) pause(longest time.Duration) {
	time.Sleep(time.Duration(d.random.Int64N(int64(longest))))
}

func (d *drama) produce() {
	d.restore() // the load shall get through
	mix := EveryKind(40+d.random.IntN(120), 1+d.random.IntN(20))
	if d.schedule.Refusals {
		mix.Odd[Refused] = 30
	}
	d.tell("%d records", mix.Records)
	d.Produce(d.random, mix)
}

func (d *drama) start(index int) {
	d.tell("member %d starts", index)
	line := d.Line()
	slow := time.Duration(d.random.Int64N(int64(40 * time.Millisecond)))
	model := &Model{
		Takes: func(n int) time.Duration { return time.Duration(n) * slow },
		Fails: func(int) error {
			if d.take(index, func(t *trick) bool { fail := t.fail; t.fail = false; return fail }) {
				return ErrModel
			}
			return nil
		},
	}
	cycle := &pipeline.Cycle{
		Open:     func() (pipeline.Source, error) { return d.schedule.Build(d.World, line, index) },
		Programs: Programs(model),
		Builder:  Always(Builder{TooLarge: 2 << 20}),
		Config:   pipeline.DefaultCycle(),
		At: func(pipeline.Point) {
			var freeze time.Duration
			d.take(index, func(t *trick) bool { freeze, t.freeze = t.freeze, 0; return true })
			time.Sleep(freeze)
		},
	}
	cycle.Config.MaxRecords = 5 + d.random.IntN(60)
	cycle.Config.MaxTime = time.Second
	worker := d.Start(cycle, line)
	d.living[index] = worker
	d.all = append(d.all, worker)
}

func (d *drama) take(index int, f func(*trick) bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tricks[index]
	taken := f(&t)
	d.tricks[index] = t
	return taken
}

// Requests that a schedule meddles with, the ones that end a cycle most often.
var meddled = []kmsg.Key{
	kmsg.Produce, kmsg.Produce, kmsg.EndTxn, kmsg.EndTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.TxnOffsetCommit, kmsg.OffsetCommit,
	kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.InitProducerID, kmsg.Heartbeat, kmsg.JoinGroup, kmsg.SyncGroup,
	kmsg.OffsetFetch, kmsg.Fetch, kmsg.FindCoordinator, kmsg.Metadata, kmsg.ListOffsets, kmsg.LeaveGroup,
}

// Answers that a schedule gives.
var meddling = []*kerr.Error{
	kerr.UnknownServerError, kerr.UnknownServerError, kerr.RequestTimedOut, kerr.NotCoordinator, kerr.CoordinatorNotAvailable,
	kerr.CoordinatorLoadInProgress, kerr.NotLeaderForPartition, kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress,
	kerr.ConcurrentTransactions, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidTxnState, kerr.TransactionAbortable,
	kerr.NotEnoughReplicasAfterAppend, kerr.OutOfOrderSequenceNumber, kerr.UnknownTopicOrPartition, kerr.TopicAuthorizationFailed,
}

// strike does one bad thing.
func (d *drama) strike(members int) {
	index := d.random.IntN(members)
	worker := d.living[index]
	if worker == nil {
		d.start(index)
		return
	}
	lasts := time.Duration(d.random.Int64N(int64(25 * time.Second)))
	key := meddled[d.random.IntN(len(meddled))]
	answer := meddling[d.random.IntN(len(meddling))]
	switch what := d.random.IntN(16); what {
	case 0, 1, 2:
		d.tell("member %d is killed", index)
		worker.Kill()
		delete(d.living, index)
	case 3:
		d.tell("member %d is asked to stop", index)
		worker.Ask()
		delete(d.living, index)
	case 4:
		d.tell("member %d freezes for %v", index, lasts)
		worker.Line.Freeze(lasts)
		d.take(index, func(t *trick) bool { t.freeze = lasts; return true })
	case 5:
		d.tell("member %d loses its connections", index)
		worker.Line.Blink()
	case 6:
		d.tell("member %d is cut off for %v", index, lasts)
		worker.Line.Cut()
		d.pause(lasts + 1)
		worker.Line.Mend()
	case 7:
		d.tell("member %d is not answered for %v", index, lasts)
		worker.Line.Hang()
		d.pause(lasts + 1)
		worker.Line.Mend()
	case 8, 9, 10:
		act := []Act{{Before: true}, {After: true}, {Lose: true}, {Answer: answer}, {Delay: lasts}}[d.random.IntN(5)]
		skip := d.random.IntN(3)
		d.tell("member %d, %s after %d: %v", index, key.Name(), skip, act)
		worker.Line.Arm(key, skip, act)
	case 11, 12:
		n := 1 + d.random.IntN(3)
		d.tell("%d times %s is answered %s", n, key.Name(), answer.Message)
		fault := kfake.Fault{Keys: []kmsg.Key{key}, Err: answer, Count: n}
		if key == kmsg.Produce {
			fault.Topic = Output // the load shall get through
		}
		d.Cluster.Fault(fault)
	case 13:
		d.tell("the model of member %d fails", index)
		d.take(index, func(t *trick) bool { t.fail = true; return true })
	case 14:
		d.move()
	default:
		d.produce()
	}
}

// move what the brokers own.
func (d *drama) move() {
	switch what := d.random.IntN(4); {
	case what == 0:
		d.tell("coordinators move")
		d.Cluster.RehashCoordinators()
	case what == 1:
		d.tell("leaders move")
		d.Cluster.ShufflePartitionLeaders()
	case len(d.removed) > 0:
		d.restore()
	case d.brokers-len(d.removed) > 1:
		node := int32(d.random.IntN(d.brokers)) //nolint:gosec // small
		if d.Remove(node) {
			d.tell("broker %d goes", node)
			d.removed = append(d.removed, node)
		}
	}
}

// rescue empties the group and puts a new member into it. World.attend and conn keep kfake from most of what makes its groups
// wait for ever, not from all: it puts the end of a rebalance off with every member that comes or leaves in it, where Kafka
// keeps to the first deadline, so that members which take turns to give up can keep each other waiting.
func (d *drama) rescue() {
	d.tell("the group is emptied")
	d.outcome.Rescued = true
	for index, worker := range d.living {
		worker.Ask()
		<-worker.Ended()
		delete(d.living, index)
	}
	d.start(0)
	d.outcome.AllCommitted = d.AwaitCommits(5 * time.Minute)
}

// restore the brokers that went.
func (d *drama) restore() {
	for _, node := range d.removed {
		d.tell("broker %d comes back", node)
		if _, _, err := d.Cluster.AddNode(node, 9092+int(node)); err != nil {
			d.Errorf("add node %d: %v", node, err)
		}
	}
	d.removed = nil
}

// heal everything but the dead, and have at least one member at work.
func (d *drama) heal(members int) {
	d.tell("all is healed")
	d.restore()
	for _, worker := range d.living {
		worker.Line.Mend()
		worker.Line.Disarm()
	}
	if len(d.living) == 0 {
		d.start(d.random.IntN(members))
	}
	d.produce()
}
