package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/torture/faulty"
	"nearline/kafka"
)

func (r *run) setUp(ctx context.Context) error {
	if len(r.Connection.Brokers) == 0 {
		if err := r.embed(ctx); err != nil {
			return err
		}
	}
	if r.Model == "" {
		if err := r.ownModel(); err != nil {
			return err
		}
	}
	if err := r.createTopics(ctx); err != nil {
		return err
	}
	if anyOf(r.Faults, StoreOlder) && r.Features {
		if err := r.keep(ctx); err != nil {
			return err
		}
	}
	for i := range r.Replicas {
		if err := r.addReplica(i); err != nil {
			return err
		}
		if err := r.replicas[i].start(r.Program); err != nil {
			return err
		}
	}
	return nil
}

// embed starts a broker in a process of its own. It is never hurt: seen, it forgets which
// transactions were open when it was killed, and hands out their records as committed. What a broker's death does is for
// a real one to show.
func (r *run) embed(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	r.Connection.Brokers = []string{address}
	r.broker = &process{name: "broker", log: filepath.Join(r.Folder, "broker.log"),
		args: []string{"dev-broker", "--kafka", address, "--data", filepath.Join(r.Folder, "broker"), "--min-session", sessionTimeout.String()}}
	r.ConfigFor = r.embeddedConfig
	return r.broker.start(r.Self)
}

// ownModel makes a repository with a model that answers with a constant, or with the faulty one where faults are its own.
func (r *run) ownModel() error {
	repository, err := filepath.Abs(filepath.Join(r.Folder, "models"))
	if err != nil {
		return err
	}
	r.Repository = repository
	if WantFaultyModel(r.Faults) {
		r.Model = "faulty"
		return faulty.Write(filepath.Join(r.Repository, "faulty", "1"))
	}
	r.Model = "constant"
	folder := filepath.Join(r.Repository, "constant", "1")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	manifest := "task: constant\ncolumns: {sentiment: {label: positive, score: 0.5}}\n"
	return os.WriteFile(filepath.Join(folder, "nearline.yaml"), []byte(manifest), 0o644)
}

func (r *run) embeddedConfig(replica Replica) ([]byte, error) {
	steps, section := "", []byte("{}")
	if replica.View.Name != "" {
		steps = fmt.Sprintf(", {aggregate: {view: %s}}", replica.View.Name)
		var err error
		if section, err = json.Marshal(replica.View.Section(replica.Partitions)); err != nil { // JSON is YAML
			return nil, err
		}
	}
	return fmt.Appendf(nil, `kafka: {brokers: [%q], replica: %s, transaction_timeout: %v, session_timeout: %v, rebalance_timeout: %v}
models: {repository: %q, hang_timeout: %v}
features: %s
pipelines:
  - name: torture
    group: %s
    input: {topic: %s, map: {id: review_id, text: text}}
    steps: [{predict: {model: %s}}%s]
    output: {topic: %s, copy: [item_id]}
    dead_letters: %s
    cycle: {max_records: 512, shutdown: 5s}
serving: {http: "off"}
`, r.Connection.Brokers[0], replica.Name, transactionTimeout, sessionTimeout, rebalanceTimeout, replica.Repository, HangTimeout, section, replica.Group, replica.Input,
		replica.Model, steps, replica.Output, replica.DeadLetters), nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:errcheck // a TCP listener has no other
}

// reading are the options of a client that reads what replicas have committed. What it fetches ahead bounds its memory, however long
// the run was: by partition, and by no less than the largest batch, for the sake of the embedded broker. That one does not say which
// transactions were aborted of a partition at which it breaks off an answer for its size, so that their records would pass for
// committed; and a batch above the bound does not come while other partitions have some.
func (r *run) reading(names ...string) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeTopics(names...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(96 << 20),
		kgo.FetchMaxPartitionBytes(2 << 20), // a broker that nobody has told otherwise takes batches of 1,048,588 bytes
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.AlwaysRetryEOF(),
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
}

// reached is the connection of load and checker: a broker that was hurt is given up soon.
func (r *run) reached() kafka.Connection {
	connection := r.Connection
	connection.DialTimeout = time.Second
	return connection
}

// admin dials the cluster.
func (r *run) admin() (*kadm.Client, error) {
	client, err := r.reached().Client(kgo.AlwaysRetryEOF())
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

func (r *run) createTopics(ctx context.Context) error {
	admin, err := r.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("the broker did not answer within 30s"))
	defer cancel()
	// What retention or compaction took, the checker would count as lost.
	forever, keep := "-1", "delete"
	settings := map[string]*string{"retention.ms": &forever, "retention.bytes": &forever, "cleanup.policy": &keep}
	for {
		created, err := admin.CreateTopics(ctx, int32(r.Partitions), r.Replication, settings, r.topics.input, r.topics.output, r.topics.deadLetters) //nolint:gosec // validated
		if err == nil && r.broker == nil {
			r.takeFuture(ctx, admin)
		}
		if err == nil {
			if err = created.Error(); errors.Is(err, kerr.TopicAlreadyExists) {
				err = nil
			}
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("create topics on %v: %w: %w", r.Connection.Brokers, context.Cause(ctx), err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// takeFuture has the input take the load's timestamps of years to come, which brokers from 4.0 on refuse where nobody tells them otherwise. Those before 3.6 do
// not know the setting, and take any.
func (r *run) takeFuture(ctx context.Context, admin *kadm.Client) {
	any := strconv.Itoa(math.MaxInt64)
	_, _ = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "message.timestamp.after.max.ms", Value: &any}}, r.topics.input)
}

// cleanUp removes from the operator's cluster what the run has made there.
func (r *run) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs []error
	for _, p := range r.replicas {
		if p.running() {
			errs = append(errs, p.stop(stopPatience))
		}
	}
	admin, err := r.admin()
	if err != nil {
		return // the run has dialled the same brokers
	}
	defer admin.Close()
	made, grouped := []string{r.topics.input, r.topics.output, r.topics.deadLetters}, []string{r.group}
	if r.view.Name != "" {
		made, grouped = append(made, r.view.topics()...), append(grouped, r.view.group())
	}
	_, topics := admin.DeleteTopics(ctx, made...)
	_, groups := admin.DeleteGroups(ctx, grouped...)
	if err := errors.Join(append(errs, topics, groups)...); err != nil {
		r.tell.say("some of what the run has made stays, all of it named %s…: %v", r.group, err)
	}
}

// addReplica makes the process of a number, with a configuration of its own.
func (r *run) addReplica(index int) error {
	name := fmt.Sprintf("replica-%d", index)
	config, err := r.ConfigFor(Replica{Name: name, Input: r.topics.input, Output: r.topics.output, DeadLetters: r.topics.deadLetters,
		Group: r.group, Repository: r.Repository, Model: r.Model, View: r.view, Partitions: r.Partitions})
	if err != nil {
		return err
	}
	path := filepath.Join(r.Folder, name+".yaml")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return err
	}
	p := &process{name: name, log: filepath.Join(r.Folder, name+".log"), args: []string{"run", "--config", path}, supervised: true,
		gate: r.refusing.RLocker()}
	if anyOf(r.Faults, OutOfMemory) {
		p.memory = memoryLimit
	}
	r.replicas = append(r.replicas, p)
	return nil
}
