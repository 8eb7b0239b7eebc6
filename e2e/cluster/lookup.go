package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

var errRunning = errors.New("it runs")

// Client dials the brokers directly.
func (c *Cluster) Client(options ...kgo.Opt) (*kgo.Client, error) {
	return reach(c.connection(c.Direct()...), options...)
}

// reach brokers that are hurt. One that hangs up in a greeting is one that goes down here, never one that wants TLS.
func reach(connection kafka.Connection, options ...kgo.Opt) (*kgo.Client, error) {
	connection.DialTimeout = 2 * time.Second
	return connection.Client(append([]kgo.Opt{kgo.AlwaysRetryEOF(), kgo.MetadataMinAge(250 * time.Millisecond)}, options...)...)
}

// admin asks something of the cluster, on a connection of its own, since what one remembers of a hurt cluster is stale.
func (c *Cluster) admin(ctx context.Context, ask func(context.Context, *kadm.Client) error) error {
	client, err := c.Client(kgo.RetryTimeout(3 * time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	return ask(ctx, kadm.NewClient(client))
}

// TransactionCoordinator is the broker that keeps the transactions of this id.
func (c *Cluster) TransactionCoordinator(ctx context.Context, id string) (node int, err error) {
	return c.coordinator(ctx, "transactions of "+id, func(ctx context.Context, admin *kadm.Client) kadm.FindCoordinatorResponses {
		return admin.FindTxnCoordinators(ctx, id)
	})
}

// GroupCoordinator is the broker that keeps a group.
func (c *Cluster) GroupCoordinator(ctx context.Context, group string) (node int, err error) {
	return c.coordinator(ctx, "group "+group, func(ctx context.Context, admin *kadm.Client) kadm.FindCoordinatorResponses {
		return admin.FindGroupCoordinators(ctx, group)
	})
}

func (c *Cluster) coordinator(ctx context.Context, of string,
	find func(context.Context, *kadm.Client) kadm.FindCoordinatorResponses) (node int, err error) {
	err = await(ctx, time.Minute, "a coordinator for "+of, func(ctx context.Context) error {
		return c.admin(ctx, func(ctx context.Context, admin *kadm.Client) error {
			found := find(ctx, admin)
			if err := found.Error(); err != nil {
				return err
			}
			for _, response := range found {
				node = int(response.NodeID)
			}
			return nil
		})
	})
	return node, err
}

// awaitReady waits until every broker is there and coordinators have been chosen, for which Kafka makes its own topics.
func (c *Cluster) awaitReady(ctx context.Context) error {
	for _, b := range c.brokers {
		if err := c.AwaitBroker(ctx, b.node); err != nil {
			return err
		}
	}
	if _, err := c.GroupCoordinator(ctx, "any"); err != nil {
		return err
	}
	if _, err := c.TransactionCoordinator(ctx, "any"); err != nil {
		return err
	}
	return c.AwaitInSync(ctx)
}

// AwaitBroker waits until the cluster knows a broker as alive, and the broker answers.
func (c *Cluster) AwaitBroker(ctx context.Context, node int) error {
	b, err := c.broker(node)
	if err != nil {
		return err
	}
	return await(ctx, 2*time.Minute, fmt.Sprintf("broker %d to be a member", node), func(ctx context.Context) error {
		running, err := c.Running(ctx, node)
		if err != nil {
			return err
		}
		if !running {
			logs, _ := c.Logs(ctx, node)
			return final{fmt.Errorf("broker %d has ended: %s", node, logs[max(0, len(logs)-2000):])}
		}
		client, err := reach(c.connection(host(b.direct)), kgo.RetryTimeout(3*time.Second))
		if err != nil {
			return err
		}
		defer client.Close()
		metadata, err := kadm.NewClient(client).BrokerMetadata(ctx) // the broker's own view
		if err != nil {
			return err
		}
		for _, known := range metadata.Brokers {
			if int(known.NodeID) == node {
				return nil
			}
		}
		return fmt.Errorf("it knows the brokers %v alone", metadata.Brokers.NodeIDs())
	})
}

// AwaitInSync waits until every replica of every partition has caught up, so that the next fault cannot be one too many.
func (c *Cluster) AwaitInSync(ctx context.Context) error {
	return await(ctx, 2*time.Minute, "all replicas to be in sync", func(ctx context.Context) error {
		return c.admin(ctx, func(ctx context.Context, admin *kadm.Client) error {
			metadata, err := admin.Metadata(ctx)
			if err != nil {
				return err
			}
			metadata.Topics.EachPartition(func(p kadm.PartitionDetail) {
				if len(p.ISR) < len(p.Replicas) || p.Leader < 0 {
					err = fmt.Errorf("%s/%d has %v of %v in sync", p.Topic, p.Partition, p.ISR, p.Replicas)
				}
			})
			return err
		})
	})
}

// final is an error that waiting does not cure.
type final struct{ error }

// await asks until there is no error, or the time is over.
func await(ctx context.Context, within time.Duration, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not within %v", within))
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if _, hopeless := errors.AsType[final](err); hopeless {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, context.Cause(ctx), err)
		}
	}
}
