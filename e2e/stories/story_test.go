package stories

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/e2e/cluster"
)

// patience with what has to happen. Nothing is judged by how long it took.
const patience = 3 * time.Minute

// story is one test: topics and a group of its own, replicas that work on them, and a ledger of what became of the events.
type story struct {
	t       *testing.T
	cluster *cluster.Cluster
	admin   *kadm.Client
	writer  *kgo.Client
	ledger  *ledger

	raw, scored, dead string // topics
	group             string
	folder            string // of configurations and logs
	web               web    // how the replicas are asked
	models            string // repository with the model named constant
	replicas          map[string]*replica
	written           int // events, by produce and load
}

// begin a story on the cluster that all share. Its topics are yet to be made.
func begin(t *testing.T, name string) *story {
	t.Helper()
	return beginOn(t, sharedCluster(t), name)
}

// beginOn a cluster of its own.
func beginOn(t *testing.T, c *cluster.Cluster, name string) *story {
	t.Helper()
	s := &story{t: t, cluster: c, raw: name + ".raw", scored: name + ".scored", dead: name + ".raw.dlq",
		group: "nearline-" + name, folder: filepath.Join(kept, name), replicas: map[string]*replica{}}
	s.models = filepath.Join(s.folder, "models")
	constant := filepath.Join(s.models, "constant", "1")
	s.must("make the story's folder", os.RemoveAll(s.folder))
	s.must("make the story's folder", os.MkdirAll(constant, 0o755))
	s.must("make a constant model", os.WriteFile(filepath.Join(constant, "nearline.yaml"),
		[]byte("task: constant\ncolumns: {sentiment: {label: positive, score: 0.5}}\n"), 0o644))
	s.writer = s.client(kgo.DefaultProduceTopic(s.raw), kgo.ProducerLinger(5*time.Millisecond), kgo.MetadataMaxAge(5*time.Second))
	s.admin = kadm.NewClient(s.client())
	t.Cleanup(s.end)
	return s
}

// end is also that of a story which went wrong in the middle.
func (s *story) end() {
	for _, name := range slices.Sorted(maps.Keys(s.replicas)) {
		r := s.replicas[name]
		if err := r.endedByItself(); err != nil {
			s.t.Errorf("replica %s ended by itself: %v; see %s", name, err, r.log)
		}
		r.signal(os.Kill)
		if s.t.Failed() {
			s.t.Logf("the end of the log of %s, which is at %s:\n%s", name, r.log, r.lastLines(15))
		}
	}
	if s.ledger != nil {
		s.ledger.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The next story has the cluster to itself.
	_, _ = s.admin.DeleteTopics(ctx, s.raw, s.scored, s.dead)
	s.admin.Close()
	s.writer.Close()
}

// goesOnIn a part of the test, until what it returns is called.
func (s *story) goesOnIn(part *testing.T) (end func()) {
	whole := s.t
	s.t = part
	return func() { s.t = whole }
}

// must ends the test where something went wrong that is not what it is about.
func (s *story) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// within the story's patience.
func (s *story) withDeadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.t.Context(), patience)
}

func (s *story) client(options ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := s.cluster.Client(options...)
	s.must("dial the cluster", err)
	return client
}

// topics with so many partitions each, and the reader that writes the ledger.
func (s *story) topics(partitions int) {
	s.t.Helper()
	s.input(partitions)
	s.outputs(partitions)
}

func (s *story) input(partitions int) {
	s.t.Helper()
	s.create(partitions, s.raw)
}

func (s *story) outputs(partitions int) {
	s.t.Helper()
	s.create(partitions, s.scored, s.dead)
	s.ledger = openLedger(s)
}

func (s *story) create(partitions int, names ...string) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	made, err := s.admin.CreateTopics(ctx, int32(partitions), 3, nil, names...) //nolint:gosec // a handful
	if err == nil {
		err = made.Error()
	}
	s.must("create topics", err)
}

// addPartitions to the input until it has so many, and have the writer know.
func (s *story) addPartitions(total int) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	made, err := s.admin.UpdatePartitions(ctx, total, s.raw)
	if err == nil {
		err = made.Error()
	}
	s.must("add partitions", err)
	s.writer.ForceMetadataRefresh()
}

// removeOldest of the events that the group has not read, that share of each partition, as retention does. It returns how many.
func (s *story) removeOldest(share float64) (removed int64) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	committed, err := s.admin.FetchOffsets(kadm.RequireStable(ctx), s.group)
	s.must("ask where the group is", errors.Join(err, committed.Error()))
	ends, err := s.admin.ListEndOffsets(ctx, s.raw)
	s.must("ask where the input ends", errors.Join(err, ends.Error()))
	until := kadm.Offsets{}
	ends.Each(func(end kadm.ListedOffset) {
		at, _ := committed.Lookup(end.Topic, end.Partition)
		from := max(0, at.At)
		before := from + int64(share*float64(end.Offset-from))
		s.ledger.remove(end.Partition, from, before)
		removed += before - from
		until.AddOffset(end.Topic, end.Partition, before, -1)
	})
	gone, err := s.admin.DeleteRecords(ctx, until)
	s.must("remove records", errors.Join(err, gone.Error()))
	return removed
}

// await asks until the answer is yes.
func (s *story) await(what string, ask func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	var last error // said before the time was over
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("%s: not within %v: %v", what, patience, cmp.Or(last, err))
		}
		last = err
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// expectShared waits until the group's members are those of these replicas, every partition belongs to exactly one of them, and
// none has two more than another.
func (s *story) expectShared(partitions int, names ...string) {
	s.t.Helper()
	s.expectGroup(s.group, partitions, names...)
}

// expectGroup is expectShared of any group of the replicas.
func (s *story) expectGroup(group string, partitions int, names ...string) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d partitions shared by %v in group %s", partitions, names, group), func(ctx context.Context) error {
		groups, err := s.admin.DescribeGroups(ctx, group)
		if err == nil {
			err = groups.Error()
		}
		if err != nil {
			return err
		}
		owners := map[int32]int{}
		seen := map[string]bool{}
		least, most := partitions, 0
		for _, member := range groups[group].Members {
			// GROUP/REPLICA/NUMBER
			parts := strings.Split(member.ClientID, "/")
			seen[parts[len(parts)/2]] = true
			assigned, _ := member.Assigned.AsConsumer()
			held := 0
			for _, topic := range assigned.Topics {
				for _, partition := range topic.Partitions {
					owners[partition]++
					held++
				}
			}
			least, most = min(least, held), max(most, held)
		}
		for partition := range int32(partitions) { //nolint:gosec // a handful
			if owners[partition] != 1 {
				return fmt.Errorf("partition %d has %d owners", partition, owners[partition])
			}
		}
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, names) || most-least > 1 {
			return fmt.Errorf("the members are of %v, with %d to %d partitions", got, least, most)
		}
		return nil
	})
}

// stopAll replicas in order.
func (s *story) stopAll() {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(s.replicas)) {
		s.replicas[name].stop()
	}
}

// awaitEffects waits until so many events have an effect.
func (s *story) awaitEffects(n int) {
	s.t.Helper()
	s.await(fmt.Sprintf("effects of %d events", n), func(context.Context) error {
		if have := s.ledger.effects(); have < n {
			return fmt.Errorf("%d events have one", have)
		}
		return nil
	})
}

// expectScored waits until every event that was written has an effect, stops all replicas, reads the outputs to their ends, and
// wants exactly one effect for each, in order.
func (s *story) expectScored() {
	s.t.Helper()
	s.await("an effect for every event", func(context.Context) error { return s.ledger.lacking() })
	s.stopAll()
	s.ledger.readToEnds()
	s.ledger.judge()
}
