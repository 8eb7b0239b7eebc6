package dev

import (
	"context"
	"crypto/rand"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/kafka"
)

// cleaner applies retention, and compacts topics while no transaction is open in them.
//
// A broker compacts up to the last stable offset. kfake's own cleaner compacts all: a record of an open transaction has the
// committed one of its key removed, and when the transaction is aborted, both are gone. So that one is left to sleep, and ours asks for
// compaction from within a request of its own: the broker handles no other meanwhile, so that what is looked at stays as it is.
type cleaner struct {
	cluster *kfake.Cluster
	client  *kgo.Client
	every   time.Duration
	mark    string        // of the request that is ours
	aborted reflect.Value // see abortedIn

	mu      sync.Mutex // guards all below; held while a request of ours is handled
	topics  []string   // that are compacted
	cleaned bool
	over    bool
}

// neverMillis is how long kfake's own cleaner sleeps: ten years.
const neverMillis = "315360000000"

const (
	// cleaningTries are made, so long after each other, for a moment without open transactions.
	cleaningTries = 20
	cleaningPause = 50 * time.Millisecond
)

func newCleaner(cluster *kfake.Cluster, connection kafka.Connection, every time.Duration) (*cleaner, error) {
	aborted, err := abortedIn(cluster)
	if err != nil {
		return nil, err
	}
	client, err := connection.Client()
	if err != nil {
		return nil, err
	}
	c := &cleaner{cluster: cluster, client: client, every: every, mark: rand.Text(), aborted: aborted}
	cluster.ControlKey(kmsg.DescribeUserSCRAMCredentials.Int16(), c.handle)
	return c, nil
}

// run cleans until ctx ends.
func (c *cleaner) run(ctx context.Context) {
	defer func() {
		c.client.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.over = true // the cluster may go now
	}()
	every := time.NewTicker(c.every)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		c.cluster.ApplyRetention()
		c.compact(ctx)
	}
}

// compact the topics that are, as soon as it may be done.
func (c *cleaner) compact(ctx context.Context) {
	if !c.find(ctx) {
		return
	}
	for range cleaningTries {
		request := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		request.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: c.mark}}
		_, _ = request.RequestWith(ctx, c.client) // what counts is that it was handled
		c.mu.Lock()
		cleaned := c.cleaned
		c.mu.Unlock()
		if cleaned {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(cleaningPause):
		}
	}
}

// find the topics that are compacted, and say whether there are any.
func (c *cleaner) find(ctx context.Context) bool {
	listed, err := kadm.NewClient(c.client).ListTopics(ctx)
	if err != nil {
		return false
	}
	var compacted []string
	for _, topic := range listed.Names() {
		info := c.cluster.TopicInfo(topic)
		if info == nil {
			continue
		}
		if policy := info.Configs["cleanup.policy"]; policy != nil && strings.Contains(*policy, "compact") {
			compacted = append(compacted, topic)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topics, c.cleaned = compacted, false
	return len(compacted) > 0
}

// handle our own request, while the broker handles no other.
func (c *cleaner) handle(request kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // kfake says what a control returns
	c.cluster.KeepControl()
	asked := request.(*kmsg.DescribeUserSCRAMCredentialsRequest) //nolint:errcheck // its key
	if len(asked.Users) != 1 || asked.Users[0].Name != c.mark {
		return nil, nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over && c.stable() {
		c.cluster.Compact()
		forgetAborted(c.aborted, c.topics)
		c.cleaned = true
	}
	return asked.ResponseKind(), nil, true
}

// stable says that no transaction is open in what is compacted; mu is held.
func (c *cleaner) stable() bool {
	for _, topic := range c.topics {
		for _, partition := range c.cluster.PartitionInfos(topic) {
			if partition.LastStableOffset < partition.HighWatermark {
				return false
			}
		}
	}
	return true
}
