//go:build synctests

package consumers_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// TestSchedulesFindTheBrokenBuilds shows that the checker can fail: each build breaks one rule of the cycle, and some
// schedule among the first few hundred must find it.
func TestSchedulesFindTheBrokenBuilds(t *testing.T) {
	for _, broken := range []struct {
		name  string
		what  string
		build kafkatest.Build
	}{
		{"commit before produce", "lost", func(w *kafkatest.World, line *kafkatest.Line, index int) (pipeline.Source, error) {
			return open(w, line, index, false, func(m *bare) { m.early = true })
		}},
		{"promise errors ignored", "lost", func(w *kafkatest.World, line *kafkatest.Line, index int) (pipeline.Source, error) {
			m, err := consumers.Open(config(w, line, index))
			return deaf{m}, err
		}},
		{"polling ahead", "lost", func(w *kafkatest.World, line *kafkatest.Line, index int) (pipeline.Source, error) {
			return open(w, line, index, true, func(m *bare) { m.ahead = true })
		}},
		{"an uncommitted end trusted", "doubled", func(w *kafkatest.World, line *kafkatest.Line, index int) (pipeline.Source, error) {
			line.Arm(kmsg.EndTxn, 1, kafkatest.Act{Answer: kerr.UnknownServerError})
			m, err := consumers.Open(config(w, line, index))
			return trusting{m}, err
		}},
		{"offsets apart from the results", "doubled", ours(pipeline.AtLeastOnce, consumers.ClassicProtocol)},
	} {
		t.Run(broken.name, func(t *testing.T) {
			const limit = 150
			for seed := uint64(1); seed <= limit; seed++ {
				s := kafkatest.Schedule{Seed: seed, Build: broken.build, Refusals: true}
				o := s.Run(t)
				if n := map[string]int{"lost": o.Report.Lost, "doubled": o.Report.Doubled}[broken.what]; n > 0 {
					t.Logf("found by seed %d: %d %s", seed, n, broken.what)
					return
				}
			}
			t.Errorf("no schedule of %d found it: want records %s", limit, broken.what)
		})
	}
}

// TestBareBuildIsWholeWithoutItsBreaks keeps the broken builds honest: with all its switches off, theirs loses and doubles
// nothing, so what is found with one of them on is found for it.
func TestBareBuildIsWholeWithoutItsBreaks(t *testing.T) {
	for seed := uint64(1); seed <= 2; seed++ { // where the others are found; without our care it hangs in some later ones
		s := kafkatest.Schedule{Seed: seed, Refusals: true, Build: func(w *kafkatest.World, line *kafkatest.Line, index int) (pipeline.Source, error) {
			return open(w, line, index, true, func(*bare) {})
		}}
		if o := s.Run(t); o.AllCommitted && o.Report.Lost+o.Report.Doubled > 0 {
			t.Errorf("seed %d: %v\n\t%s", seed, o.Report.Err(), strings.Join(o.Story, "\n\t"))
		}
	}
}

// TestMemberIsFencedByItsGroup gives every member another transactional id each time: then nobody fences what a dead
// one left open, and the generation of the group alone must keep it from counting.
func TestMemberIsFencedByItsGroup(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		s := kafkatest.Schedule{Seed: seed, Build: func(w *kafkatest.World, line *kafkatest.Line, index int) (pipeline.Source, error) {
			c := config(w, line, index)
			c.Kafka.Replica = fmt.Sprint(rand.Uint64())
			return consumers.Open(c)
		}}
		if err := wrong(s.Run(t), pipeline.ExactlyOnce); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// deaf does not listen to what becomes of the records it produces.
type deaf struct{ *consumers.Member }

func (d deaf) Publish(ctx context.Context, outputs []pipeline.Output) error {
	_ = d.Member.Publish(ctx, outputs)
	return ctx.Err()
}

// trusting takes an end without an error for one whose outcome is known.
type trusting struct{ *consumers.Member }

func (m trusting) Commit(ctx context.Context) error {
	if err := m.Member.Commit(ctx); err != nil && !strings.Contains(err.Error(), "was not committed") {
		return err
	}
	return nil
}

// bare is a plain member without the care that ours takes: one rule at a time is broken by its switches.
type bare struct {
	client  *kgo.Client
	session *kgo.GroupTransactSession // nil without transactions
	next    []*pipeline.Record        // polled ahead
	kill    context.CancelFunc
	begun   bool

	early bool // offsets are committed before the results are published
	ahead bool // the next records are polled before the cycle ends
}

func open(w *kafkatest.World, line *kafkatest.Line, index int, transactions bool, change func(*bare)) (pipeline.Source, error) {
	m := new(bare)
	change(m)
	var life context.Context
	life, m.kill = context.WithCancel(context.Background())
	opts := []kgo.Opt{
		kgo.WithContext(life),
		kgo.ConsumerGroup(kafkatest.Group), kgo.ConsumeTopics(kafkatest.Input),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.BlockRebalanceOnPoll(), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(10 * time.Second), kgo.HeartbeatInterval(2 * time.Second), kgo.RequestRetries(3), kgo.RecordDeliveryTimeout(30 * time.Second),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	var err error
	if transactions {
		opts = append(opts, kgo.TransactionalID(fmt.Sprintf("bare/%d", index)), kgo.TransactionTimeout(10*time.Second))
		if m.session, err = w.Connection(line).Session(opts...); err == nil {
			m.client = m.session.Client()
		}
		return m, err
	}
	m.client, err = w.Connection(line).Client(opts...)
	return m, err
}

func (m *bare) Poll(ctx context.Context, limits pipeline.Limits) ([]*pipeline.Record, error) {
	if len(m.next) > 0 {
		records := m.next
		m.next = nil
		return records, nil
	}
	m.client.AllowRebalance()
	for {
		records, err := m.take(ctx, limits.Records)
		if err != nil || len(records) > 0 {
			return records, err
		}
	}
}

func (m *bare) take(ctx context.Context, n int) ([]*pipeline.Record, error) {
	fetches := m.client.PollRecords(ctx, n)
	if ctx != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := fetches.Err(); err != nil {
		return nil, err
	}
	var records []*pipeline.Record
	fetches.EachRecord(func(r *kgo.Record) {
		record := &pipeline.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, pipeline.Header(h))
		}
		records = append(records, record)
	})
	return records, nil
}

func (m *bare) Publish(ctx context.Context, outputs []pipeline.Output) error {
	if m.early {
		if err := m.client.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
	}
	if err := m.begin(); err != nil {
		return err
	}
	if m.ahead {
		m.next, _ = m.take(nil, 20) //nolint:staticcheck // a nil context is how kgo is asked for what it has buffered
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var records []*kgo.Record
	for _, o := range outputs {
		r := &kgo.Record{Topic: o.Topic, Key: o.Key, Value: o.Value}
		for _, h := range o.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		records = append(records, r)
	}
	for _, result := range m.client.ProduceSync(ctx, records...) {
		if result.Err != nil {
			for i := range records {
				if records[i] == result.Record {
					return &pipeline.RefusedError{Guilty: map[int]error{i: result.Err}}
				}
			}
		}
	}
	return nil
}

func (m *bare) begin() error {
	switch {
	case m.begun:
		return nil
	case m.session != nil:
		m.begun = true
		return m.session.Begin()
	}
	return nil
}

func (m *bare) Commit(ctx context.Context) error {
	m.begun = false
	switch {
	case m.session != nil:
		committed, err := m.session.End(limited(ctx), kgo.TryCommit)
		if err == nil && !committed {
			err = context.Canceled
		}
		return err
	case m.early:
		return nil
	}
	return m.client.CommitUncommittedOffsets(limited(ctx))
}

// limited keeps the builds from hanging: that they do is not what is shown here.
func limited(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func (m *bare) Abort(ctx context.Context) error {
	m.next = nil
	if m.session == nil {
		return context.Canceled // rebuild
	}
	if err := m.begin(); err != nil {
		return err
	}
	m.begun = false
	_, err := m.session.End(limited(ctx), kgo.TryAbort)
	return err
}

func (m *bare) Close() {
	patience := time.AfterFunc(3*time.Second, m.kill)
	defer patience.Stop()
	m.client.CloseAllowingRebalance()
	m.kill()
}
