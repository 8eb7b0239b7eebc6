package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/dev"
)

// partitions of every topic here.
const partitions = 6

// serveBroker is what the child process does: the embedded broker alone, until standard input ends.
func serveBroker() error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	config := dev.BrokerConfig{Listen: "127.0.0.1:0", Topics: []dev.Topic{}, Logger: slog.New(slog.DiscardHandler)}
	return dev.RunBroker(ctx, config, func(addr string) { fmt.Println(addr) })
}

// broker is the embedded broker in a process of its own, so that its memory and its garbage are not the service's; or a real
// cluster, where one is named.
type broker struct {
	cluster
	admin *kadm.Client
	child *exec.Cmd // nil for a cluster
	stdin io.Closer
	made  []string // topics, which are not left behind on a cluster
}

func (b *broker) real() bool { return b.child == nil }

// startBroker is the cluster that is listed, or that a file has the section kafka of, or else one of its own.
func startBroker(listed, file string) (*broker, error) {
	if listed != "" || file != "" {
		return reachCluster(listed, file)
	}
	child := exec.Command(os.Args[0], "broker")
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("start the broker's process: %w", err)
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the broker's process said nothing: %w", err)
	}
	b := &broker{cluster: clusterAt(strings.TrimSpace(addr)), child: child, stdin: stdin}
	client, err := b.Client()
	if err != nil {
		return nil, err
	}
	b.admin = kadm.NewClient(client)
	return b, nil
}

func reachCluster(listed, file string) (*broker, error) {
	var brokers []string
	if listed != "" {
		brokers = strings.Split(listed, ",")
	}
	at := clusterAt(brokers...)
	if file != "" {
		var err error
		if at, err = clusterIn(file, brokers); err != nil {
			return nil, fmt.Errorf("-kafka-config %s: %w", file, err)
		}
	}
	client, err := at.Client(kgo.MetadataMinAge(50 * time.Millisecond))
	if err != nil {
		return nil, err
	}
	if err := client.Ping(context.Background()); err != nil {
		client.Close()
		return nil, fmt.Errorf("ask the brokers at %q: %w", at.Brokers, err)
	}
	return &broker{cluster: at, admin: kadm.NewClient(client)}, nil
}

func (b *broker) close() error {
	defer b.admin.Close()
	if b.real() {
		return b.drop(context.Background(), b.made...)
	}
	return errors.Join(b.stdin.Close(), b.child.Wait())
}

// topic makes topics, replicated as the cluster's default says, and waits until all of it can be written to.
func (b *broker) topic(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, name := range names {
		if _, err := b.admin.CreateTopic(ctx, partitions, -1, nil, name); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
		b.made = append(b.made, name)
	}
	for {
		if ends, err := b.admin.ListEndOffsets(ctx, names...); err == nil && ends.Error() == nil {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("topics %v were made and cannot be used: %w", names, err)
		}
	}
}

func (b *broker) drop(ctx context.Context, names ...string) error {
	_, err := b.admin.DeleteTopics(ctx, names...)
	return err
}

// fill writes the events to a topic, n in all, each under a key of its own.
func (b *broker) fill(ctx context.Context, topic string, events [][]byte, n int) error {
	client, err := b.Client(kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		return err
	}
	defer client.Close()
	first := kgo.AbortingFirstErrPromise(client)
	for i := range n {
		client.Produce(ctx, &kgo.Record{Key: strconv.AppendInt(nil, int64(i), 10), Value: events[i%len(events)]}, first.Promise())
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	return first.Err()
}

// backlog makes a topic with n reviews in it, and says where they are from.
func (b *bench) backlog(ctx context.Context, topic string, n int) (source string, err error) {
	events, source, err := reviews(b.reviews, 20_000)
	if err != nil {
		return "", err
	}
	if err := b.broker.topic(ctx, topic); err != nil {
		return "", err
	}
	return source, b.broker.fill(ctx, topic, events, n)
}
