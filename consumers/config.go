package consumers

import (
	"fmt"
	"os"
	"regexp"
	"time"

	"nearline/internal/problems"
	"nearline/kafka"
	"nearline/pipeline"
)

// KafkaConfig says how to reach the cluster, and how a member behaves in its group. It is shared by all pipelines.
type KafkaConfig struct {
	kafka.Config `yaml:",inline"`
	// Replica is the stable name of this replica of the service, unique in its group: transactional ids are made of it,
	// and a replica that restarts under its old name fences what it left behind at once. Empty means the host's name: see Named.
	Replica string `yaml:"replica"`
	// TransactionTimeout ends the transaction of a member that died in the middle, where no heir ends it first (Kafka before 3.0).
	// Until then every read-committed reader of the partitions it wrote to waits.
	TransactionTimeout time.Duration `yaml:"transaction_timeout"`
	// GroupProtocol is how the group shares out its partitions: classic, or consumer for KIP-848, where the broker does it.
	// There a cycle is not waited for, so a rebalance costs the cycles in hand, and the broker's own settings say how long it waits for
	// a member that says nothing (group.consumer.session.timeout.ms, 45 s unless changed).
	GroupProtocol string `yaml:"group_protocol"`
	// SessionTimeout is how long a classic group waits for a member that says nothing, before others take its partitions. Brokers
	// take no less than 6 s unless group.min.session.timeout.ms says otherwise.
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// RebalanceTimeout is how long a rebalance waits for the cycle in hand.
	RebalanceTimeout time.Duration `yaml:"rebalance_timeout"`
	// FetchMaxBytes bounds what one broker returns to one member in one fetch, compressed.
	FetchMaxBytes pipeline.ByteSize `yaml:"fetch_max_bytes"`
	// FetchMaxDecompressed bounds what a member holds of what it fetched once that is decompressed, the cycle in hand included, and
	// half of it bounds one batch. Of a batch beyond that, the largest records become dead letters by reference. Only compressed
	// batches count.
	FetchMaxDecompressed pipeline.ByteSize `yaml:"fetch_max_decompressed"`
	// Static keeps the member's place in the group over a restart: no rebalance, but nobody else reads its
	// partitions until the session times out.
	Static bool `yaml:"static_membership"`
	// AttemptsTopic keeps what is being worked on, so that a record that ends the process is found by its successors and becomes a
	// dead letter. It is made where it is missing, compacted. {group} in it is the consumer group, so that each pipeline and each view has a topic
	// of its own: a service needs no rights but to its own marks, and nobody else's to write them. A name without {group} is one topic for all
	// pipelines of this configuration. "off" goes without: such a record then ends every process that it comes to.
	AttemptsTopic string `yaml:"attempts_topic"`
	// ProgressTopic keeps how far groups have come, a second time: brokers forget the offsets of a group that has been stopped for a while
	// (offsets.retention.minutes, a week unless changed), and it then goes on exactly where it was. It is made where it is missing, compacted. {group} in it
	// is the consumer group, as in AttemptsTopic: what stands there decides where a group goes on, so that nobody else needs the right to write
	// it. A name without {group} is one topic for all. "off" goes without: such a group then begins anew, and its records are counted twice.
	ProgressTopic string `yaml:"progress_topic"`
}

// What GroupProtocol may be.
const (
	ClassicProtocol  = "classic"
	ConsumerProtocol = "consumer"
)

// Attempts says whether attempts are marked.
func (c KafkaConfig) Attempts() bool { return c.AttemptsTopic != "off" }

// Progress says whether groups' places are kept.
func (c KafkaConfig) Progress() bool { return c.ProgressTopic != "off" }

// DefaultKafka is what a config gets that says nothing.
//
// Transaction timeout: a member produces only when all predictions are in, so a transaction lasts as long as the
// acknowledgements do (27 to 41 ms on one broker); 10 s leaves room for a broker's fail-over. The session timeout is
// the least that brokers take by default: it is nearly all of a take-over after kill -9 (6.3 s on three brokers), and it may be
// short since heartbeats come from a goroutine of their own: a slow model does not delay them. What is fetched ahead is
// what lag costs in memory: with fetches of 8 MiB a million waiting records made the process 22% larger (make bench
// ARGS='-only memory'). Decompressed, a full cycle of 32 MiB and as much of fetches ahead fit; a batch of 1 MiB, the most that
// brokers take where nobody changed it, may be packed 32 times.
func DefaultKafka() KafkaConfig {
	return KafkaConfig{
		TransactionTimeout: 10 * time.Second,
		GroupProtocol:      ClassicProtocol,
		SessionTimeout:     6 * time.Second,
		RebalanceTimeout:   60 * time.Second,
		FetchMaxBytes:      1 << 20,
		AttemptsTopic:      "nearline.attempts." + groupPlace,
		ProgressTopic:      "nearline.progress." + groupPlace,

		FetchMaxDecompressed: defaultMaxDecompressed,
	}
}

const defaultMaxDecompressed = 64 << 20

// maxReplica leaves room for a member's number: brokers take what names a static member as they take a topic.
const maxReplica = pipeline.MaxTopicName - 9

var legalReplica = regexp.MustCompile(fmt.Sprintf(`^[a-zA-Z0-9._-]{1,%d}$`, maxReplica))

// Validate names every problem, each with its key below path, its value and the remedy.
func (c KafkaConfig) Validate(path string) error {
	var p problems.List
	p.Join(c.Config.Validate(path))
	if c.GroupProtocol != ClassicProtocol && c.GroupProtocol != ConsumerProtocol {
		p.Add(path+".group_protocol", "is %q: want %s or %s", c.GroupProtocol, ClassicProtocol, ConsumerProtocol)
	}
	validateTopic(&p, path+".attempts_topic", c.AttemptsTopic)
	validateTopic(&p, path+".progress_topic", c.ProgressTopic)
	if c.Attempts() && c.ProgressTopic == c.AttemptsTopic {
		p.Add(path+".progress_topic", "is %q: %s.attempts_topic has that name; choose another, such as nearline.progress.{group}", c.ProgressTopic, path)
	}
	if c.Replica != "" && !legalReplica.MatchString(c.Replica) {
		p.Add(path+".replica", "is %q: want up to %d letters, digits, dots, dashes and underscores, unique in the group", c.Replica, maxReplica)
	}
	between := func(key string, got, low, high time.Duration) {
		if got < low || got > high {
			p.Add(path+"."+key, "is %v: want between %v and %v", got, low, high)
		}
	}
	between("transaction_timeout", c.TransactionTimeout, time.Second, 15*time.Minute)
	between("session_timeout", c.SessionTimeout, time.Second, 5*time.Minute)
	between("rebalance_timeout", c.RebalanceTimeout, 5*time.Second, 30*time.Minute)
	if c.FetchMaxBytes < 64<<10 || c.FetchMaxBytes > 1<<30 {
		p.Add(path+".fetch_max_bytes", "is %v: want between 64KiB and 1GiB", c.FetchMaxBytes)
	}
	if c.FetchMaxDecompressed < 8<<20 || c.FetchMaxDecompressed > 1<<30 {
		p.Add(path+".fetch_max_decompressed", "is %v: want between 8MiB and 1GiB", c.FetchMaxDecompressed)
	}
	return p.Err()
}

// replica is the stable name to use.
func (c KafkaConfig) replica() string {
	if c.Replica != "" {
		return c.Replica
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "nearline"
	}
	return host
}

// Start says where a group begins that has no committed offset yet.
type Start struct {
	// At is the time of the first record to read; zero with Latest false means the earliest.
	At     time.Time
	Latest bool
}

// UnmarshalText reads earliest, latest or a time as in RFC 3339.
func (s *Start) UnmarshalText(text []byte) error {
	switch t := string(text); t {
	case "earliest", "":
		*s = Start{}
	case "latest":
		*s = Start{Latest: true}
	default:
		at, err := time.Parse(time.RFC3339, t)
		if err != nil {
			return fmt.Errorf("%q, which is not a place to start: want earliest, latest, or a time such as 2026-01-31T12:00:00Z", t)
		}
		*s = Start{At: at}
	}
	return nil
}

func (s Start) String() string {
	switch {
	case s.Latest:
		return "latest"
	case s.At.IsZero():
		return "earliest"
	default:
		return s.At.Format(time.RFC3339)
	}
}
