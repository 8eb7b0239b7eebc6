package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/kafka"
	"nearline/kafka/decompress"
	"nearline/pipeline"
)

// Config of one member: what it shares with the whole service, and its own place in a group.
type Config struct {
	Connection kafka.Connection
	Kafka      KafkaConfig
	Group      string
	Topic      string
	Delivery   pipeline.Delivery
	// Index of the member within this replica. The transactional id is group/replica/index.
	Index int
	// MaxRecordBytes is the largest record, uncompressed, that the topics published to take; 0 means Kafka's own default.
	MaxRecordBytes int
	// MaxRecords that one cycle takes at the most.
	MaxRecords int
	// Note is the metadata of what is committed in transactions; "" is the client's own.
	Note string
	// Attempts has what is about to be worked on marked; nil marks nothing.
	Attempts *Attempts
	// Progress keeps how far the group has come, beside its offsets; nil keeps nothing.
	Progress *Progress
	// Standing is told where the member stands still; nil is nobody.
	Standing *Standstill
	// Lost is told of partitions that others may hold from now on, or may have held until now; nil is nobody. It is called by the client, and
	// must not wait.
	Lost func(partitions []int32)
	// Options come after the member's own: hooks for metrics.
	Options []kgo.Opt
	Logger  *slog.Logger
	Metrics *Metrics
}

// Member is one member of a consumer group with its transactional producer.
//
// They share one client because a transaction ends with the group's offsets in it, and only the client that knows the
// group's generation can vouch for them (KIP-447). From the first record polled until Commit or Abort, a
// rebalance waits: nothing that the cycle works on can be taken away in the middle of it, unless the member is
// thrown out of the group, in which case the broker refuses the end.
//
// Not safe for concurrent use, as pipeline.Source says.
type Member struct {
	client *kgo.Client
	// kill ends the client's lifetime, and with it all that it waits for.
	kill context.CancelFunc
	// session is nil in an at-least-once member.
	session *kgo.GroupTransactSession
	config  Config
	// begun says that a transaction is open.
	begun bool
	// stale says that partitions were taken away. Where a rebalance waits for the cycle, that happens between polls only, with no
	// record in flight; the session would nevertheless abort the next transaction for it, after the model has done the work.
	stale   atomic.Bool
	holding holding
	// average weight of the records so far, in bytes, to turn the cycle's bound of bytes into one of records.
	average      float64
	lost         *retentionWatch
	decompressor *decompress.Bounded
	stands       standing
	quarantine   *quarantine
	// work on the records in hand, from the Poll that returns them to the Commit or Abort that ends their cycle.
	work    *work
	resumes resumption
	// introduced says that the brokers were asked for the producer.
	introduced bool
	// background has the search for orphans after each assignment.
	background sync.WaitGroup
}

var _ pipeline.Source = (*Member)(nil)

// Open makes a member. It joins its group at the first poll.
func Open(config Config) (*Member, error) {
	m := &Member{config: config, average: 4 << 10,
		decompressor: decompress.NewBounded(int(cmp.Or(config.Kafka.FetchMaxDecompressed, defaultMaxDecompressed)))}
	if m.config.Logger == nil {
		m.config.Logger = slog.New(slog.DiscardHandler)
	}
	m.quarantine = newQuarantine(m.config)
	m.lost = newRetentionWatch(m.config, &m.resumes)
	var life context.Context
	life, m.kill = context.WithCancel(context.Background())
	options := append(m.options(), kgo.WithContext(life))
	connection := config.Connection.As(config.TransactionalID()).Bounded(m.decompressor) // by its name it is known: see orphans
	var err error
	if config.Delivery == pipeline.AtLeastOnce {
		m.client, err = connection.Client(options...)
	} else {
		m.session, err = connection.Session(options...)
		if err == nil {
			m.client = m.session.Client()
		}
	}
	if err != nil {
		m.kill()
		return nil, fmt.Errorf("open a member of group %s: %w", config.Group, err)
	}
	return m, nil
}

// TransactionalID of a member: the same for as long as the replica keeps its name, so that a restart fences what
// was left behind.
func (c Config) TransactionalID() string {
	return fmt.Sprintf("%s/%s/%d", c.Group, c.Kafka.replica(), c.Index)
}

func (m *Member) options() []kgo.Opt {
	c := m.config
	maxRecordBytes := int32(c.MaxRecordBytes) //nolint:gosec // bounded by the config
	if maxRecordBytes <= 0 {
		maxRecordBytes = pipeline.DefaultRecordBytes
	}
	// The client's callback for a change of what the member holds.
	on := func(change string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			c.Metrics.changed(change, partitions)
			if change == changeAssigned {
				as, _ := client.GroupMetadata()
				m.holding.gain(as, partitions[c.Topic])
			}
			if len(partitions) == 0 {
				return
			}
			c.Logger.Info("partitions "+change, "topic", c.Topic, "partitions", slices.Sorted(slices.Values(partitions[c.Topic])))
			// The session passes on the first revocation only until its next end, so a member at rest may not hear of one. An assignment
			// always gets through, before the partition is read.
			if c.Lost != nil {
				c.Lost(partitions[c.Topic])
			}
			if change != changeAssigned {
				gone := partitions[c.Topic]
				if change == changeLost {
					gone = m.holding.all() // a loss is of everything, and an earlier revocation may not have been passed on
				}
				m.holding.lose(gone)
				m.stale.Store(true)
				return
			}
			m.resumes.client.Store(client)
			if c.Delivery != pipeline.AtLeastOnce {
				left := orphans{client: client, admin: kadm.NewClient(client), config: c, logger: m.config.Logger}
				m.background.Go(func() { left.end(ctx) })
			}
		}
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeTopics(c.Topic),
		// Unless it is known better: see resume.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		// Below the log's start, retention overtook the group: go on with the oldest record there is, and count. Where the
		// broker cannot say how much of its log it lost, a minute is read again rather than all that it still has.
		kgo.ConsumeResetOffset(kgo.RewindOffset(time.Minute)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// New partitions are found within a minute, and so is a topic that a broker once forgot to name.
		kgo.MetadataMaxAge(time.Minute),
		kgo.FetchMaxBytes(int32(c.Kafka.FetchMaxBytes)),              //nolint:gosec // bounded by the config
		kgo.FetchMaxPartitionBytes(int32(c.Kafka.FetchMaxBytes / 4)), //nolint:gosec // no partition takes it all for itself
		// A fetch that waits has no partitions that were given or resumed after it was sent: in a quiet topic they would wait for its end.
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(c.Kafka.SessionTimeout),
		kgo.HeartbeatInterval(c.Kafka.SessionTimeout / 12),
		kgo.RebalanceTimeout(c.Kafka.RebalanceTimeout),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(on(changeAssigned)),
		kgo.OnPartitionsRevoked(on(changeRevoked)),
		kgo.OnPartitionsLost(on(changeLost)),
		// A cycle's outputs are known all at once: a portion of them is handed over, then flushed, in the fewest and fullest batches,
		// and a lone one does not wait for company.
		kgo.ManualFlushing(),
		kgo.MaxBufferedRecords(portionRecords + maxPlaces),
		kgo.ProducerBatchMaxBytes(maxRecordBytes),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.WithLogger(clientLogger{m.config.Logger}),
	}
	if c.Kafka.GroupProtocol == ConsumerProtocol {
		// A rebalance does not wait for the cycle here: the end of a transaction would then wait for it in turn. A cycle whose
		// partitions are taken away is aborted at its end.
		opts = append(opts, kgo.ServerSideBalancer())
	} else {
		opts = append(opts, kgo.BlockRebalanceOnPoll())
	}
	if c.Progress != nil {
		opts = append(opts, kgo.AdjustFetchOffsetsFn(m.resume))
	}
	if c.Kafka.Static {
		opts = append(opts, kgo.InstanceID(fmt.Sprintf("%s-%d", c.Kafka.replica(), c.Index)))
	}
	if c.Delivery != pipeline.AtLeastOnce {
		opts = append(opts,
			kgo.TransactionalID(c.TransactionalID()),
			kgo.TransactionTimeout(c.Kafka.TransactionTimeout))
	}
	return append(opts, c.Options...)
}

// retryBackoff is how long the client waits before it tries again. By its own choice it would wait up to 5 s before it joins its
// group again, and after a coordinator's outage the group would wait for it.
func retryBackoff(tries int) time.Duration {
	longest := min(250*time.Millisecond<<min(max(tries-1, 0), 2), time.Second)
	return longest - rand.N(longest/5)
}

// maxPlaces is room for the places of a cycle's partitions beside its outputs, in records of some hundred bytes: more partitions than a topic has.
const maxPlaces = 1 << 16

// Poll waits for a record, then takes what the client has already fetched, up to the limits.
//
// The bound of bytes is kept by asking for as many records as the average weight so far lets fit; it is passed by one
// such helping at the most, which the client holds in memory anyway.
//
// When it returns, the attempt at the records is marked, where it has to be (see attempt), and the work on them has begun: Publish is told when
// it is done (see work).
func (m *Member) Poll(ctx context.Context, limits pipeline.Limits) ([]*pipeline.Record, error) {
	if err := m.introduce(ctx); err != nil {
		return nil, err
	}
	for {
		if err := m.over(); err != nil {
			return nil, err
		}
		if m.stale.Swap(false) {
			// Clear the session's mark now, while it costs nothing, rather than after the model has run.
			if err := m.Abort(ctx); err != nil {
				return nil, err
			}
			m.lost.forget()
			m.quarantine.forget()
		}
		switch err := m.commitPlaces(ctx); {
		case errors.Is(err, pipeline.ErrRebalanced):
			continue
		case err != nil:
			return nil, err
		}
		limits := m.quarantine.limit(m.client, m.holding.all(), limits)
		m.client.AllowRebalance()
		var taken taking
		if err := m.fill(ctx, limits, &taken); err != nil {
			return nil, err
		}
		if err := m.vouch(); err != nil {
			return nil, err
		}
		switch {
		case m.stale.Load():
			continue
		case taken.empty():
			m.quarantine.waited()
			continue
		}
		for _, partition := range m.holding.takeGained() {
			m.quarantine.renew(partition)
		}
		begun, err := m.quarantine.begin(ctx, taken.records)
		if err != nil {
			return nil, err
		}
		if begun != nil {
			m.work = begun
			return taken.records, nil
		}
		if err := m.Abort(ctx); err != nil {
			return nil, err
		}
	}
}

// fetchMaxWait is Kafka's own default (fetch.max.wait.ms).
const fetchMaxWait = 500 * time.Millisecond

// introduce the member to the cluster before it takes records, and its producer: what an earlier one of the same name left open is ended by
// that, which readers of the outputs, and whoever has its partitions now, would otherwise wait for.
//
// Only an answer that no retry changes is an error: a client that is not let in would wait for its group without a word. Any other trouble is told by
// the first poll or transaction that has it.
func (m *Member) introduce(ctx context.Context) error {
	if m.introduced {
		return nil
	}
	m.introduced = true
	ctx, cancel := m.inTime(ctx)
	defer cancel()
	var err error
	if m.session != nil {
		_, _, err = m.client.ProducerID(ctx)
	} else if m.config.Connection.Secured() {
		err = m.client.Ping(ctx)
	}
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case kafka.Refused(err):
		return fmt.Errorf("reach the cluster as %s: %w", m.config.TransactionalID(), blame(err))
	}
	m.config.Logger.Debug("the member is not known yet", "transactional_id", m.config.TransactionalID(), "error", err)
	return nil
}

func (m *Member) beginTransaction(ctx context.Context) error {
	if m.session == nil || m.begun {
		return nil
	}
	// Begin takes no context, and may ask the broker for a producer's identity.
	defer context.AfterFunc(ctx, m.kill)()
	if err := m.session.Begin(); err != nil {
		return fmt.Errorf("begin a transaction as %s: %w", m.config.TransactionalID(), blame(err))
	}
	m.begun = true
	return nil
}

// Commit ends the cycle.
//
// A transaction that ends without an error and without having committed was aborted because of a rebalance, or the
// broker answered so that nobody knows; the client then goes on from the offsets that it last heard of, which in the
// second case are the wrong ones. Both are an error here, so that a new member asks the group.
func (m *Member) Commit(ctx context.Context) error {
	if m.session == nil {
		if err := m.commitOffsets(ctx); err != nil {
			return err
		}
		m.committed()
		m.client.AllowRebalance()
		return nil
	}
	ctx, cancel := m.inTime(m.vouching(ctx))
	defer cancel()
	if err := m.endTransaction(ctx); err != nil {
		return err
	}
	m.committed()
	m.session.AllowRebalance()
	return nil
}

// endTransaction ends it with the offsets in it.
func (m *Member) endTransaction(ctx context.Context) error {
	m.begun = false
	committed, err := m.session.End(ctx, kgo.TryCommit)
	if err != nil {
		m.lost.committed() // it may have been, and then nobody finds the loss again
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("commit as %s: %w", m.config.TransactionalID(), context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("commit as %s: %w", m.config.TransactionalID(), blame(err))
	case !committed && m.agreed(ctx):
		m.lost.forget()
		m.giveUp()
		m.session.AllowRebalance()
		return fmt.Errorf("commit as %s: %w", m.config.TransactionalID(), pipeline.ErrRebalanced)
	case !committed:
		return fmt.Errorf("commit as %s: %w", m.config.TransactionalID(), errAborted)
	}
	m.placesCommitted()
	return nil
}

// committed notes that the cycle in hand was.
func (m *Member) committed() {
	m.lost.committed()
	m.holding.committed()
	m.work.committed()
	m.work = nil
}

// giveUp the work in hand, if there is any.
func (m *Member) giveUp() {
	m.work.giveUp()
	m.work = nil
}

// vouching has the member's note go with the offsets, for which the member vouches.
func (m *Member) vouching(ctx context.Context) context.Context {
	return kgo.PreTxnCommitFnContext(ctx, func(request *kmsg.TxnOffsetCommitRequest) error {
		if m.config.Note != "" {
			m.config.annotate(request)
		}
		return m.holding.vouch(request.MemberID)
	})
}

// vouch for what the member holds, as the group knows it now.
func (m *Member) vouch() error {
	as, _ := m.client.GroupMetadata()
	if err := m.holding.vouch(as); err != nil {
		return fmt.Errorf("poll as %s: %w", m.config.TransactionalID(), err)
	}
	return nil
}

// inTime bounds the end of a cycle.
//
// The end of a transaction asks the group, by a heartbeat, whether the member still belongs to it. A member that was thrown
// out has nobody to send that heartbeat: the client waits for the rebalance first, the rebalance waits for the end of the
// cycle, and the end waits for the heartbeat. After the transaction's timeout the broker has aborted it anyway.
func (m *Member) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, m.config.Kafka.TransactionTimeout, errEndless)
}

func (m *Member) commitOffsets(ctx context.Context) error {
	ctx, cancel := m.inTime(ctx)
	defer cancel()
	m.takePlaces() // before the commit, after which there is no telling what it was of
	ctx = kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error { return m.holding.vouch(request.MemberID) })
	if err := m.client.CommitUncommittedOffsets(ctx); err != nil {
		return fmt.Errorf("commit the offsets of group %s: %w", m.config.Group, blame(err))
	}
	// Noted after the commit: a note that says less than the group repeats records, which an at-least-once member may; one that says more
	// would lose them.
	if err := m.sendPlaces(ctx).flushed(ctx); err != nil {
		return err
	}
	m.placesCommitted()
	return nil
}

// Abort gives the cycle's records back: they are polled again.
func (m *Member) Abort(ctx context.Context) error {
	m.giveUp()
	m.lost.forget()
	m.resumes.hand = nil
	if m.session == nil {
		m.rewind()
		return nil
	}
	ctx, cancel := m.inTime(ctx)
	defer cancel()
	if err := m.beginTransaction(ctx); err != nil {
		return err
	}
	m.begun = false
	_, err := m.session.End(ctx, kgo.TryAbort)
	if err != nil {
		return fmt.Errorf("abort as %s: %w", m.config.TransactionalID(), blame(err))
	}
	m.session.AllowRebalance()
	return nil
}

// rewind sets an at-least-once member back to what it has committed, or, where that is nothing, to the first record that it took. The client says nothing
// of a partition that has no commit, and left alone it would go on behind the cycle that was given up.
func (m *Member) rewind() {
	offsets := m.client.CommittedOffsets()
	if offsets == nil {
		offsets = make(map[string]map[int32]kgo.EpochOffset)
	}
	topic := offsets[m.config.Topic]
	if topic == nil {
		topic = make(map[int32]kgo.EpochOffset)
		offsets[m.config.Topic] = topic
	}
	for _, partition := range m.holding.all() {
		first, read := m.holding.first(partition)
		if _, known := topic[partition]; read && !known {
			topic[partition] = first
		}
	}
	m.client.SetOffsets(offsets)
	m.client.AllowRebalance()
}

// leaveTimeout is how long Close asks the group to be let go. A broker that does not answer in this time will notice by
// the session timeout.
const leaveTimeout = 3 * time.Second

// Close leaves the group at once; a static member keeps its place.
func (m *Member) Close() {
	m.giveUp()
	m.config.Standing.clear(m.config.Index)
	patience := time.AfterFunc(leaveTimeout, m.kill)
	defer patience.Stop()
	m.client.CloseAllowingRebalance()
	m.kill()
	m.background.Wait()
}
