package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"nearline/kafka"
	"nearline/pipeline"
)

// DefaultListen is where the embedded broker listens: the port that every Kafka client tries first.
const DefaultListen = "127.0.0.1:9092"

// The topics of the shop, of which the first three are those of the built-in review pipeline.
const (
	TopicRaw         = "reviews.raw"
	TopicScored      = "reviews.scored"
	TopicDeadLetters = "reviews.raw.dlq"
	TopicEvents      = "events.raw"
	TopicRequests    = "rank.requests"
	TopicRankings    = "rank.results"
)

// Topic is one topic that the embedded broker has from the start.
type Topic struct {
	Name       string
	Partitions int32
	// Retention bounds one partition, in bytes as they are stored; a broker in memory holds that much.
	Retention pipeline.ByteSize
	// Compact keeps the last record of each key in place of the youngest bytes.
	Compact bool
	// Settings, if there are any, are all of the topic's: those of one that the service would make by itself.
	Settings map[string]string
}

// DefaultTopics are those of the built-in pipeline.
//
// Retention goes by size and never by age: the broker is in memory, so size is what has to be bounded, and a client that
// sends old timestamps would otherwise see its records vanish before they are read. All partitions full are 336 MiB.
// Uncompressed, reviews.raw then holds some 400,000 reviews of lag.
func DefaultTopics() []Topic {
	return []Topic{
		{Name: TopicRaw, Partitions: 6, Retention: 32 << 20},
		{Name: TopicScored, Partitions: 6, Retention: 16 << 20},
		{Name: TopicDeadLetters, Partitions: 6, Retention: 8 << 20},
	}
}

// BrokerConfig says how the embedded broker runs.
type BrokerConfig struct {
	// Listen is HOST:PORT; port 0 takes a free one. Empty means DefaultListen.
	Listen string
	// Advertise is the host that clients are told to come back to. Empty means the one of Listen, or 127.0.0.1 when
	// Listen names every interface.
	Advertise string
	// Data is the folder in which the state survives, a SIGKILL included; empty keeps everything in memory.
	Data string
	// Sync writes through to the disk at every batch, so that the state survives the machine too, at the price of one
	// fsync a batch.
	Sync bool
	// Topics to create, or to bring to the given retention where they exist. Nil means DefaultTopics.
	Topics []Topic
	// RetentionInterval is how often retention runs; zero means 5 s. Between two runs the topics may grow past their bound.
	RetentionInterval time.Duration
	// MinSession is the shortest session timeout that members of groups may ask for; zero means the 6 s of Kafka's brokers.
	MinSession time.Duration
	// Logger takes the broker's warnings and errors. Nil means slog.Default.
	Logger *slog.Logger
}

// Broker is an embedded broker: the real protocol, one node, no replicas. Not for production.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File

	dismiss  context.CancelFunc // the attendant
	attended chan struct{}
}

// StartBroker starts the broker and returns when its topics are there.
func StartBroker(ctx context.Context, cfg BrokerConfig) (_ *Broker, err error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Topics == nil {
		cfg.Topics = DefaultTopics()
	}
	if cfg.RetentionInterval <= 0 {
		cfg.RetentionInterval = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %q is not an address to listen on: want HOST:PORT, such as %s", cfg.Listen, DefaultListen)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: port %q of %s: want a number from 0 to 65535", port, cfg.Listen)
	}
	port = strconv.FormatUint(number, 10)

	b := &Broker{}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.lock, err = lockFolder(cfg.Data); err != nil {
		return nil, err
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("nearline-dev"),
		kfake.WithLogger(brokerLog{cfg.Logger}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return listen(network, host, port, cfg.Advertise)
		}),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms":     neverMillis, // see cleaner
			"default.replication.factor": "1",
		}),
	}
	if cfg.MinSession > 0 {
		opts = append(opts, kfake.GroupMinSessionTimeout(cfg.MinSession))
	}
	if cfg.Data != "" {
		opts = append(opts, kfake.DataDir(cfg.Data))
	}
	if cfg.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("embedded broker: %s is taken by another program, perhaps a Kafka broker or another nearline: choose another address with --kafka HOST:PORT: %w", cfg.Listen, err)
		}
		return nil, fmt.Errorf("embedded broker on %s: %w", cfg.Listen, err)
	}
	b.addr = b.cluster.ListenAddrs()[0]
	attendant, err := newAttendant(b.cluster, b.Connection())
	if err != nil {
		return nil, fmt.Errorf("embedded broker on %s: %w", cfg.Listen, err)
	}
	cleaner, err := newCleaner(b.cluster, b.Connection(), cfg.RetentionInterval)
	if err != nil {
		attendant.client.Close()
		return nil, fmt.Errorf("embedded broker on %s: %w", cfg.Listen, err)
	}
	var attending context.Context
	attending, b.dismiss = context.WithCancel(context.WithoutCancel(ctx))
	b.attended = make(chan struct{})
	var staff sync.WaitGroup
	staff.Go(func() { attendant.run(attending) })
	staff.Go(func() { cleaner.run(attending) })
	go func() {
		defer close(b.attended)
		staff.Wait()
	}()
	if err = ensureTopics(ctx, b.Connection(), cfg.Topics); err != nil {
		return nil, fmt.Errorf("embedded broker on %s: %w", cfg.Listen, err)
	}
	return b, nil
}

// Addr is the host:port that clients are told.
func (b *Broker) Addr() string { return b.addr }

// Connection to the broker.
func (b *Broker) Connection() kafka.Connection { return kafka.Connection{Brokers: []string{b.addr}} }

// Close stops the broker. With a data folder it writes down what a clean stop adds.
func (b *Broker) Close() {
	if b.dismiss != nil {
		b.dismiss()
		<-b.attended
	}
	if b.cluster != nil {
		b.cluster.Close()
	}
	if b.lock != nil {
		_ = b.lock.Close() // releases the lock; nothing was written to it
	}
}

// RunBroker runs the broker alone until ctx ends, for measurements that need it in a process of its own. ready is called
// once with its address.
func RunBroker(ctx context.Context, cfg BrokerConfig, ready func(addr string)) error {
	b, err := StartBroker(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	if ready != nil {
		ready(b.Addr())
	}
	<-ctx.Done()
	return nil
}

// listen opens the broker's listener, which tells clients an address that they can reach.
func listen(network, host, port, advertise string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), network, net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	l = framed{l}
	addr := l.Addr().(*net.TCPAddr) //nolint:errcheck // a TCP listener has no other
	if advertise == "" && addr.IP.IsUnspecified() {
		advertise = "127.0.0.1"
	}
	if advertise == "" {
		return l, nil
	}
	return advertised{l, advertisedAddr(net.JoinHostPort(advertise, strconv.Itoa(addr.Port)))}, nil
}

// advertised is a listener that names another address than its own: the broker tells clients what Addr says.
type advertised struct {
	net.Listener
	addr advertisedAddr
}

func (a advertised) Addr() net.Addr { return a.addr }

type advertisedAddr string

func (a advertisedAddr) Network() string { return "tcp" }
func (a advertisedAddr) String() string  { return string(a) }

// ensureTopics creates what is missing, and sets what the configuration says of the rest.
func ensureTopics(ctx context.Context, connection kafka.Connection, topics []Topic) error {
	client, err := connection.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for _, topic := range topics {
		settings := topic.settings()
		_, err := admin.CreateTopic(ctx, topic.Partitions, 1, settings, topic.Name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", topic.Name, err)
		}
		var alter []kadm.AlterConfig
		for name, value := range settings {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: value})
		}
		altered, err := admin.AlterTopicConfigs(ctx, alter, topic.Name)
		if err == nil {
			_, err = altered.On(topic.Name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return fmt.Errorf("configure topic %s: %w", topic.Name, err)
		}
	}
	return nil
}

// settings of the topic. Only whole segments are given back, so a segment is a small part of the retention.
func (t Topic) settings() map[string]*string {
	setting := func(n int64) *string {
		s := strconv.FormatInt(n, 10)
		return &s
	}
	if len(t.Settings) > 0 {
		settings := map[string]*string{"segment.bytes": setting(64 << 10)}
		for name, value := range t.Settings {
			settings[name] = &value
		}
		return settings
	}
	if t.Compact {
		policy := "compact"
		return map[string]*string{"cleanup.policy": &policy, "segment.bytes": setting(64 << 10)}
	}
	return map[string]*string{
		"retention.bytes": setting(int64(t.Retention)),
		"retention.ms":    setting(-1), // unset, it would be 7 days
		"segment.bytes":   setting(max(int64(t.Retention)/16, 64<<10)),
	}
}

// lockFolder keeps a second broker out of a data folder, and creates the folder.
func lockFolder(folder string) (*os.File, error) {
	if folder == "" {
		return nil, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("embedded broker: data folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: data folder: %w", err)
	}
	if err := lockFile(file); err != nil {
		_ = file.Close() // the lock's error is the one to tell
		return nil, fmt.Errorf("embedded broker: data folder %s is in use by another nearline: choose another with --data DIR: %w", folder, err)
	}
	return file, nil
}

// brokerLog hands kfake's warnings and errors to slog; the rest is one line a request.
type brokerLog struct{ log *slog.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker", "message", fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		if strings.HasPrefix(format, "txn: EndTxn slow") {
			return // it is told of a busy machine, from 5 ms on
		}
		l.log.Warn("embedded broker", "message", fmt.Sprintf(format, args...))
	}
}
