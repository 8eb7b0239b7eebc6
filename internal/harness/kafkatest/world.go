//go:build synctests

package kafkatest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/kafka"
)

// The names that every world has.
const (
	Input       = "reviews.raw"
	Output      = "reviews.scored"
	DeadLetters = "reviews.raw.dlq"
	Group       = "nearline-reviews"
	Attempts    = "nearline.attempts." + Group
	Progress    = "nearline.progress." + Group
)

// World is a cluster with an input, an output, a dead letter topic and one of attempts, in virtual time. It lives in one bubble.
type World struct {
	testing.TB
	Cluster *kfake.Cluster
	// Seeds to dial first.
	Seeds []string

	network kfake.VirtualNetwork
	login   kafka.Config // how clients log in
	client  *kgo.Client
	end     context.CancelFunc // of attend
	ended   chan struct{}
	loads   []*Load
	workers []*Worker

	mu    sync.Mutex // guards all below
	lines []*Line
	ends  []func()
}

// Shape of a world.
type Shape struct {
	Brokers    int
	Partitions int32
	// Outputs is how many partitions the output topics have; zero means as many as the input.
	Outputs int32
	// Denies has the brokers deny what no ACL allows. The world's own connections are those of Super, who may do everything.
	Denies  bool
	Options []kfake.Opt
	// Gate is who may log in, nil for a cluster that asks for no login; Users are all that may ever be admitted. Login is how the world's own client
	// does, and members that do not say otherwise.
	Gate  *Gate
	Users []string
	Login *Login
}

// Run runs f in a bubble with a new world, and ends both.
func Run(t *testing.T, shape Shape, f func(w *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shape)
		defer w.close()
		f(w)
	})
}

func newWorld(t *testing.T, shape Shape) *World {
	t.Helper()
	w := &World{TB: t}
	if shape.Denies {
		shape.Options, w.login = append(denying(), shape.Options...), LogIn(Super)
	}
	shape.Brokers = max(shape.Brokers, 1)
	shape.Partitions = max(shape.Partitions, 1)
	if shape.Outputs == 0 {
		shape.Outputs = shape.Partitions
	}
	ports := make([]int, shape.Brokers)
	for i := range ports {
		ports[i] = 9092 + i
		w.Seeds = append(w.Seeds, fmt.Sprintf("127.0.0.1:%d", ports[i]))
	}
	if shape.Gate != nil {
		shape.Options = append(shape.Options, shape.Gate.options(shape.Users)...)
		w.login = shape.Login.Config()
	}
	cluster, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.Ports(ports...),
		kfake.ListenFn(w.network.Listen),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
		kfake.SeedTopics(shape.Partitions, Input),
		kfake.SeedTopics(shape.Outputs, Output, DeadLetters),
		kfake.SeedTopics(1, Attempts),
	}, shape.Options...)...)
	if err != nil {
		t.Fatalf("start the cluster: %v", err)
	}
	w.Cluster = cluster
	if shape.Gate != nil {
		shape.Gate.watch(cluster)
	}
	cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), w.epochEnds)
	w.client, err = w.Connection(w.Line()).Client(
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytes(1<<20),
	)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		w.attend(ctx)
	}()
	return w
}

// attend keeps those in the group who wait for its answer. A broker does not expect heartbeats of a member whose JoinGroup or
// SyncGroup it has not answered. kfake does, drops the member and never answers; and where the request was a SyncGroup, it
// also counts one joiner too few (group.removeMember), so that no rebalance is complete until a minute without joins.
func (w *World) attend(ctx context.Context) {
	every := time.NewTicker(2 * time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		for _, member := range w.waiting() {
			w.beat(ctx, member)
		}
	}
}

// waiting are the members to whom the group owes an answer.
func (w *World) waiting() []member {
	w.mu.Lock()
	defer w.mu.Unlock()
	var members []member
	for _, l := range w.lines {
		members = append(members, l.waiting()...)
	}
	return members
}

func (w *World) beat(ctx context.Context, member member) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	group := w.Cluster.GroupInfo(member.group)
	if group == nil {
		return
	}
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.Generation, request.MemberID = member.group, group.Epoch, member.id
	_, _ = request.RequestWith(ctx, w.client) // whatever the answer: the next is due in two seconds
}

// epochEnds answers where a leader's epoch ended. A broker notes the epochs of its leaders, and answers for an epoch that is
// over with the end that the log had then; kfake knows only the epochs of its batches, and denies an epoch that has
// none after it, as if the log had been lost. Logs are never cut here, so the end of the log serves. kfake answers none of the
// partitions: a client whose knowledge of one is old may ask rightly for the others.
func (w *World) epochEnds(request kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // kfake says what a control returns
	w.Cluster.KeepControl()
	asked := request.(*kmsg.OffsetForLeaderEpochRequest)
	answer := asked.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range asked.Topics {
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			partition := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			partition.Partition, partition.LeaderEpoch, partition.EndOffset = p.Partition, -1, -1
			info := w.Cluster.PartitionInfo(t.Topic, p.Partition)
			switch {
			case info == nil:
				partition.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case info.Leader != w.Cluster.CurrentNode():
				partition.ErrorCode = kerr.NotLeaderForPartition.Code
			case p.CurrentLeaderEpoch >= 0 && p.CurrentLeaderEpoch < info.Epoch:
				partition.ErrorCode = kerr.FencedLeaderEpoch.Code
			case p.CurrentLeaderEpoch > info.Epoch:
				partition.ErrorCode = kerr.UnknownLeaderEpoch.Code
			case p.LeaderEpoch <= info.Epoch:
				partition.LeaderEpoch, partition.EndOffset = p.LeaderEpoch, info.HighWatermark
			}
			topic.Partitions = append(topic.Partitions, partition)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer, nil, true
}

func (w *World) close() {
	for _, worker := range w.workers {
		worker.Kill() // after a failure; it has stopped otherwise
	}
	for _, worker := range w.workers {
		<-worker.Ended()
	}
	for _, end := range w.ends {
		end()
	}
	w.end()
	<-w.ended
	w.client.Close()
	w.Cluster.Close()
	synctest.Wait()
}

// Finally has f called at the end of the world, when all workers have ended.
func (w *World) Finally(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, f)
}

// Forget a load: nothing is expected of it any more.
func (w *World) Forget(load *Load) {
	w.loads = slices.DeleteFunc(w.loads, func(l *Load) bool { return l == load })
}

// Line is a new one.
func (w *World) Line() *Line {
	l := &Line{dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return w.network.DialContext(ctx, network, address)
	}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, l)
	return l
}

// Connection to the cluster over a line.
func (w *World) Connection(line *Line) kafka.Connection {
	return w.As(w.login, line)
}

// As is a connection to the cluster over a line that logs in as that says.
func (w *World) As(login kafka.Config, line *Line) kafka.Connection {
	connection := login.Connection()
	connection.Brokers, connection.Dial = w.Seeds, line.Dial
	return connection
}

// Remove a broker and all connections to it, and say whether it went. kfake leaves connections open, and does not know the
// broker again at their other end when it comes back: whoever kept one is told for ever that another leads.
func (w *World) Remove(node int32) bool {
	if w.Cluster.RemoveNode(node) != nil {
		return false
	}
	port := strconv.Itoa(9092 + int(node))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lines {
		l.hangUp(port)
	}
	return true
}

// AwaitCommits waits until the group has committed all of the input, for as long as limit, and says whether it did.
func (w *World) AwaitCommits(limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		if w.Lag() == 0 {
			return true
		}
	}
	return false
}

// Lag is how many records of the input the group has not committed.
func (w *World) Lag() (lag int64) {
	for _, of := range w.Lags() {
		lag += of
	}
	return lag
}

// Lags are the same, by partition.
func (w *World) Lags() map[int32]int64 {
	lags := make(map[int32]int64)
	group := w.Cluster.GroupInfo(Group)
	for _, p := range w.Cluster.PartitionInfos(Input) {
		lags[p.Partition] = p.HighWatermark
		if group == nil {
			continue
		}
		if commit, ok := group.Commits[Input][p.Partition]; ok {
			lags[p.Partition] -= commit.Offset
		}
	}
	return lags
}

// Members that the group has now.
func (w *World) Members() int {
	if group := w.Cluster.GroupInfo(Group); group != nil {
		return len(group.Members)
	}
	return 0
}
