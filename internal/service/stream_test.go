//go:build synctests

package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/batching"
	"nearline/consumers"
	"nearline/internal/config"
	"nearline/internal/harness/kafkatest"
	"nearline/internal/observe"
	"nearline/pipeline"
)

// bench is a cluster in virtual time, a client of it, and the line of the service that is tested.
type bench struct {
	testing.TB
	world  *kafkatest.World
	client *kgo.Client
	line   *kafkatest.Line
	all    []*running
}

func (b *bench) stopAll() {
	for _, r := range b.all {
		r.stop()
		<-r.gone
	}
}

// with runs a test on a cluster that has no topics but those made in the test.
func with(t *testing.T, f func(b *bench)) {
	t.Helper()
	withShape(t, kafkatest.Shape{Partitions: 1}, f)
}

func withShape(t *testing.T, shape kafkatest.Shape, f func(b *bench)) {
	t.Helper()
	kafkatest.Run(t, shape, func(w *kafkatest.World) {
		client, err := w.Connection(w.Line()).Client()
		if err != nil {
			w.Fatal(err)
		}
		defer client.Close()
		b := &bench{TB: w.TB, world: w, client: client, line: w.Line()}
		defer b.stopAll() // a test that has failed leaves them
		f(b)
	})
}

func (b *bench) topics(settings map[string]*string, names ...string) {
	b.Helper()
	for _, name := range names {
		if _, err := kadm.NewClient(b.client).CreateTopic(b.Context(), 3, 1, settings, name); err != nil {
			b.Fatalf("create topic %s: %v", name, err)
		}
	}
}

// pipelines makes the three topics of each pipeline.
func (b *bench) pipelines(names ...string) {
	b.Helper()
	for _, name := range names {
		b.topics(nil, name+".raw", name+".scored", name+".dlq")
	}
}

func (b *bench) config(names ...string) *config.Config { return configured(b, b.world.Seeds, names...) }

func (b *bench) open(c *config.Config) *Service {
	b.Helper()
	return b.openWith(c, quiet(b).Logger)
}

func (b *bench) openWith(c *config.Config, logger *slog.Logger) *Service {
	b.Helper()
	options := quiet(b)
	options.Logger = logger
	options.Dial = b.line.Dial
	s, err := Open(b.Context(), c, options)
	if err != nil {
		b.Fatalf("open: %v", err)
	}
	return s
}

// running is a service at work.
type running struct {
	*Service
	b     *bench
	stop  context.CancelFunc
	ended chan error
	gone  chan struct{}
}

func (b *bench) run(s *Service) *running {
	ctx, stop := context.WithCancel(context.Background())
	r := &running{Service: s, b: b, stop: stop, ended: make(chan error, 1), gone: make(chan struct{})}
	b.all = append(b.all, r)
	go func() {
		defer close(r.gone)
		r.ended <- s.Run(ctx)
	}()
	return r
}

// end asks the service to stop, and wants it to end well.
func (r *running) end() {
	r.b.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		r.b.Errorf("run: got %v, want no error", err)
	}
}

// until waits for as long as limit.
func (r *running) until(limit time.Duration, what string, f func() bool) {
	r.b.Helper()
	for end := time.Now().Add(limit); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			r.b.Fatalf("%s: not within %v", what, limit)
		}
	}
}

func (r *running) committed(limit time.Duration, n int64) {
	r.b.Helper()
	r.until(limit, fmt.Sprintf("%d records", n), func() bool { return r.Committed() >= n })
	if got := r.Committed(); got != n {
		r.b.Fatalf("committed %d records, want %d", got, n)
	}
}

// streamed waits until the stream's health is as wanted, and its report says so.
func (r *running) streamed(limit time.Duration, ok bool, says string) {
	r.b.Helper()
	var report observe.Report
	r.until(limit, fmt.Sprintf("stream ok %v, saying %q", ok, says), func() bool {
		report = r.Health().Stream.Report()
		return report.OK == ok && strings.Contains(strings.Join(report.Missing, "; "), says)
	})
}

func (r *running) wants(what string, checks *observe.Checks) {
	r.b.Helper()
	if report := checks.Report(); !report.OK {
		r.b.Errorf("%s: got %v missing, want nothing", what, report.Missing)
	}
}

// series of a metric.
func (r *running) series(name string) int {
	r.b.Helper()
	families, err := r.Registry().Gather()
	if err != nil {
		r.b.Fatalf("gather: %v", err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return len(family.GetMetric())
		}
	}
	return 0
}

// send reviews numbered from first.
func (b *bench) send(topic string, first, n int) {
	b.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		number := first + i
		records[i] = &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", number%5), Value: fmt.Appendf(nil, `{"review_id":"r%d","text":"review %d"}`, number, number)}
	}
	b.produce(records...)
}

func (b *bench) produce(records ...*kgo.Record) {
	b.Helper()
	if err := b.client.ProduceSync(b.Context(), records...).FirstErr(); err != nil {
		b.Fatalf("produce: %v", err)
	}
}

// read all committed records of a topic.
func (b *bench) read(topic string) []*kgo.Record {
	b.Helper()
	admin := kadm.NewClient(b.client)
	ends, err := admin.ListCommittedOffsets(b.Context(), topic)
	if err != nil {
		b.Fatal(err)
	}
	from, behind := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			from[o.Partition], behind[o.Partition] = kgo.NewOffset().AtStart(), o.Offset
		}
	})
	client, err := b.world.Connection(b.world.Line()).Client(kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for len(behind) > 0 {
		fetches := client.PollFetches(b.Context())
		if err := fetches.Err(); err != nil {
			b.Fatalf("read %s: %v", topic, err)
		}
		for r := range fetches.RecordsAll() {
			if r.Offset+1 >= behind[r.Partition] {
				delete(behind, r.Partition)
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		}
	}
	return records
}

// deleteBefore removes the records of a partition below an offset, as retention would.
func (b *bench) deleteBefore(topic string, partition int32, offset int64) {
	b.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1})
	deleted, err := kadm.NewClient(b.client).DeleteRecords(b.Context(), offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		b.Fatalf("delete records: %v", err)
	}
}

// count the committed records of a topic.
func (b *bench) count(topic string, want int) {
	b.Helper()
	if got := len(b.read(topic)); got != want {
		b.Errorf("%s has %d records, want %d", topic, got, want)
	}
}

func TestPipelinesShareAModel(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions", "feedback")
		b.send("opinions.raw", 0, 100)
		b.send("feedback.raw", 0, 50)
		b.produce(&kgo.Record{Topic: "feedback.raw", Value: []byte("no JSON")})
		s := b.open(b.config("opinions", "feedback"))
		if len(s.engine.Models()) != 1 {
			b.Errorf("%d models are loaded, want one for both", len(s.engine.Models()))
		}
		r := b.run(s)
		r.committed(30*time.Second, 151)
		r.streamed(10*time.Second, true, "")
		r.wants("ready", &s.Health().Ready)
		r.end()
		b.count("opinions.scored", 100)
		b.count("opinions.dlq", 0)
		b.count("feedback.scored", 50)
		b.count("feedback.dlq", 1)
		result := string(b.read("opinions.scored")[0].Value)
		if want := `"sentiment":{"label":"positive","score":0.5},"helpfulness":0.5,"model":"constant","model_version":1`; !strings.Contains(result, want) {
			b.Errorf("got result %s, want %s in it", result, want)
		}
	})
}

func TestAtLeastOnceHasItsEffectToo(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 100)
		c := b.config("opinions")
		c.Pipelines[0].Delivery = pipeline.AtLeastOnce
		r := b.run(b.open(c))
		r.committed(30*time.Second, 100)
		r.end()
		b.count("opinions.scored", 100)
	})
}

func TestOutageOfTheBrokersIsTheStreamsAlone(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 10)
		r := b.run(b.open(b.config("opinions")))
		r.committed(30*time.Second, 10)

		b.line.Cut()
		r.streamed(30*time.Second, false, "no broker answers at "+b.world.Seeds[0])
		r.wants("ready", &r.Health().Ready)
		r.wants("live", &r.Health().Live)
		time.Sleep(5 * time.Minute) // long enough for every back-off to have grown
		r.streamed(0, false, "no broker answers")

		b.line.Mend()
		b.send("opinions.raw", 10, 10)
		r.streamed(30*time.Second, true, "")
		r.committed(30*time.Second, 20)
		r.end()
		b.count("opinions.scored", 20)
	})
}

func TestBrokersMayComeLater(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 10)
		b.line.Cut()
		s := b.open(b.config("opinions"))
		// Before it runs: the first broker may be found missing at once.
		if report := s.Health().Stream.Report(); report.OK || !strings.Contains(strings.Join(report.Missing, "; "), "starting") {
			b.Errorf("before it runs, the stream's health is %+v: want it to be starting", report)
		}
		r := b.run(s)
		r.streamed(30*time.Second, false, "no broker answers")
		r.wants("ready", &r.Health().Ready)
		b.line.Mend()
		r.committed(20*time.Second, 10)
		r.streamed(10*time.Second, true, "")
		r.end()
	})
}

func TestServiceThatNeverReachedABrokerStops(t *testing.T) {
	with(t, func(b *bench) {
		b.line.Cut()
		r := b.run(b.open(b.config("opinions")))
		time.Sleep(time.Minute)
		r.end()
	})
}

func TestMissingTopicsAreWaitedFor(t *testing.T) {
	with(t, func(b *bench) {
		r := b.run(b.open(b.config("opinions")))
		r.streamed(10*time.Second, false, "topic opinions.raw does not exist: create it")
		r.wants("ready", &r.Health().Ready)
		time.Sleep(10 * time.Minute)
		b.topics(nil, "opinions.raw", "opinions.scored")
		r.streamed(10*time.Second, false, "topic opinions.dlq does not exist: create it")
		b.topics(nil, "opinions.dlq")
		b.send("opinions.raw", 0, 10)
		r.committed(10*time.Second, 10)
		r.streamed(10*time.Second, true, "")
		r.end()
	})
}

func TestATopicThatIsDeletedAndMadeAgainIsReadOn(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 10)
		r := b.run(b.open(b.config("opinions")))
		r.committed(30*time.Second, 10)
		if _, err := kadm.NewClient(b.client).DeleteTopic(b.Context(), "opinions.raw"); err != nil {
			b.Fatal(err)
		}
		r.streamed(2*time.Minute, false, "opinions.raw")
		b.topics(nil, "opinions.raw")
		b.client.PurgeTopicsFromClient("opinions.raw")
		b.send("opinions.raw", 10, 10)
		r.committed(2*time.Minute, 20)
		r.end()
	})
}

func TestStopEndsTheCyclesInHand(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		s := b.open(b.config("opinions"))
		slow := slowed(program(s.workers[0]).Steps[0], 5*time.Second)
		instead(s.workers[0], slow)
		r := b.run(s)
		b.send("opinions.raw", 0, 10)
		<-slow.began
		r.end()
		if got := s.Committed(); got == 0 {
			b.Error("nothing is committed, want the cycle in hand")
		}
		b.count("opinions.scored", int(s.Committed()))
	})
}

type slowStep struct {
	pipeline.Step
	takes atomic.Int64 // a duration; the test may change it while the step runs
	began chan struct{}
}

func slowed(step pipeline.Step, takes time.Duration) *slowStep {
	s := &slowStep{Step: step, began: make(chan struct{}, 10)}
	s.takes.Store(int64(takes))
	return s
}

func (s *slowStep) Run(ctx context.Context, rows []*pipeline.Row) error {
	select {
	case s.began <- struct{}{}:
	default: // nobody counts this far
	}
	time.Sleep(time.Duration(s.takes.Load()))
	return s.Step.Run(ctx, rows)
}

func TestGroupThatStartsAtTheLatestIsSeeded(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 10)
		c := b.config("opinions")
		c.Pipelines[0].Start = consumers.Start{Latest: true}
		r := b.run(b.open(c))
		r.streamed(10*time.Second, true, "")
		b.send("opinions.raw", 10, 5)
		r.committed(30*time.Second, 5)
		r.end()
		b.count("opinions.scored", 5)

		// What came in between two runs is later than the seed.
		b.send("opinions.raw", 15, 5)
		r = b.run(b.open(c))
		r.committed(30*time.Second, 5)
		r.end()
		b.count("opinions.scored", 10)
	})
}

func TestLatestOfATopicThatIsMadeLaterIsItsBeginning(t *testing.T) {
	with(t, func(b *bench) {
		c := b.config("opinions")
		c.Pipelines[0].Start = consumers.Start{Latest: true}
		r := b.run(b.open(c))
		r.streamed(10*time.Second, false, "does not exist")
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 10)
		r.committed(10*time.Second, 10)
		r.end()
	})
}

func TestResultsKeepToTheirTopicsLimits(t *testing.T) {
	with(t, func(b *bench) {
		small := "9000"
		b.topics(nil, "opinions.raw", "opinions.dlq")
		b.topics(map[string]*string{"max.message.bytes": &small}, "opinions.scored")
		c := b.config("opinions")
		c.Pipelines[0].Cycle.Members = 1 // a second one that joins may take the first cycle back
		large := fmt.Appendf(nil, `{"review_id":%q,"text":"a"}`, strings.Repeat("x", 10_000))
		b.produce(&kgo.Record{Topic: "opinions.raw", Value: large})
		// Together these are more than one batch of the output's, and less than one of the dead letters'.
		b.send("opinions.raw", 0, 1000)
		r := b.run(b.open(c))
		r.committed(60*time.Second, 1001)
		r.end()
		b.count("opinions.scored", 1000)
		dead := b.read("opinions.dlq")
		if len(dead) != 1 || string(dead[0].Value) != string(large) {
			b.Fatalf("%d dead letters, want the large one", len(dead))
		}
		if class := header(dead[0], "nearline-dlq-class"); class != string(pipeline.ClassTooLarge) {
			b.Errorf("its class is %s, want %s", class, pipeline.ClassTooLarge)
		}
		for name, want := range map[string]int{"nearline_pipeline_member_restarts_total": 0, "nearline_pipeline_cycles_total": 1} {
			if got := r.series(name); got != want {
				b.Errorf("%s: got %d series, want %d: nothing is aborted where the limits are known before", name, got, want)
			}
		}
	})
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestMetricsAreNamedAsTheEcosystemDoes(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions", "feedback")
		b.send("opinions.raw", 0, 10)
		b.produce(&kgo.Record{Topic: "opinions.raw", Value: []byte("no JSON")})
		r := b.run(b.open(b.config("opinions", "feedback")))
		r.committed(30*time.Second, 11)
		families, err := r.Registry().Gather()
		if err != nil {
			b.Fatalf("gather: %v", err)
		}
		found := map[string]bool{}
		var ours int
		for _, family := range families {
			found[family.GetName()] = true
			if !strings.HasPrefix(family.GetName(), "nearline_") {
				continue
			}
			ours++
			problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{family}).Lint()
			if err != nil || len(problems) > 0 {
				b.Errorf("%s: %v %v", family.GetName(), problems, err)
			}
			if len(family.GetHelp()) < 30 {
				b.Errorf("%s: its help is %q, want one that teaches", family.GetName(), family.GetHelp())
			}
		}
		for _, name := range []string{
			"nearline_build_info", "nearline_healthy",
			"nearline_pipeline_cycles_total", "nearline_pipeline_records_total", "nearline_pipeline_dead_letters_total",
			"nearline_pipeline_stage_seconds", "nearline_pipeline_cycle_seconds", "nearline_pipeline_cycle_records", "nearline_pipeline_record_age_seconds",
			"nearline_consumer_retention_lost_records_total", "nearline_consumer_truncated_records_total",
			"kafka_connects_total", "kafka_fetch_bytes_total", "kafka_produce_bytes_total",
			"go_goroutines", "process_cpu_seconds_total",
		} {
			if !found[name] {
				b.Errorf("%s is missing; there are %d of ours", name, ours)
			}
		}
		r.end()
	})
}

func TestMetricsOfAMemberMadeAnewTakeThePlaceOfTheOldOnes(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		r := b.run(b.open(b.config("opinions")))
		b.send("opinions.raw", 0, 10)
		r.committed(30*time.Second, 10)
		for first := 10; first < 40; first += 10 {
			b.line.Cut()
			b.send("opinions.raw", first, 10)
			time.Sleep(2 * time.Minute) // a transaction that cannot end costs its member
			b.line.Mend()
			r.committed(time.Minute, int64(first+10))
			if _, err := r.Registry().Gather(); err != nil {
				b.Fatalf("gather: %v", err)
			}
		}
		r.end()
	})
}

// hangingStep runs a row on the device that does not come back before it is told to.
type hangingStep struct {
	queue   *batching.Queue[int]
	began   chan struct{}
	release chan struct{}
}

func hang(d *batching.Device) *hangingStep {
	h := &hangingStep{began: make(chan struct{}, 10), release: make(chan struct{})}
	limits := batching.Limits{MaxItems: 1, MaxTokens: 16, MaxPadding: 1.1, Order: batching.Nearest, Bound: 16}
	h.queue = batching.NewQueue(d, "hanging", limits, func(int, []batching.Item[int]) error {
		h.began <- struct{}{}
		<-h.release
		return nil
	})
	return h
}

func (h *hangingStep) Name() string { return "predict hanging" }

func (h *hangingStep) Run(ctx context.Context, _ []*pipeline.Row) error {
	group := h.queue.Group(batching.Stream)
	if err := group.Add(ctx, batching.Item[int]{Cost: 1}); err != nil {
		return err
	}
	for _, err := range group.Wait(ctx) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestRunThatHangsEndsTheService(t *testing.T) {
	for name, stop := range map[string]bool{"while it runs": false, "while it stops": true} {
		t.Run(name, func(t *testing.T) {
			with(t, func(b *bench) {
				b.pipelines("opinions")
				c := b.config("opinions")
				s := b.open(c)
				hanging := hang(s.Device())
				instead(s.workers[0], hanging)
				r := b.run(s)
				b.send("opinions.raw", 0, 1)
				<-hanging.began
				began := time.Now()
				if stop {
					r.stop()
				}
				err := <-r.ended
				if !errors.Is(err, ErrHung) || pipeline.Assign(err) != pipeline.BlameStop {
					b.Errorf("run: got %v, want one that says that a run hangs, and stops the process", err)
				}
				if took, want := time.Since(began), c.Models.HangTimeout+hangCheck; took > want {
					b.Errorf("it took %v, want at most %v", took, want)
				}
				if report := s.Health().Live.Report(); report.OK {
					b.Error("live: got ok, want the run that has not returned")
				}
				// In a process this is where it would exit. Here all has to end, and only can when the run does.
				close(hanging.release)
				if err := s.core.parts.Wait(); !errors.Is(err, ErrHung) {
					b.Errorf("the parts of the core ended with %v, want %v", err, ErrHung)
				}
			})
		})
	}
}
