// Package faults does to a cluster what happens to clusters: brokers die, networks break, disks fill. Each fault is done,
// lasts for a while, and is mended; none begins before the cluster has recovered from the one before it, since what Kafka
// promises with three replicas, two of them in sync, it promises for one broker lost at a time.
package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"nearline/e2e/cluster"
)

// Request for a fault.
type Request struct {
	// Kind of the fault; "" leaves the choice to the seed.
	Kind string `json:"kind"`
	// Lasts is how long until it is mended.
	Lasts time.Duration `json:"lasts"`
	// Seed chooses the broker, and the kind where none is asked for.
	Seed uint64 `json:"seed"`
	// Group and TransactionalID are those whose coordinators may be meant.
	Group           string `json:"group"`
	TransactionalID string `json:"transactional_id"`
}

// kind is one sort of fault.
type kind struct {
	name string
	// does says in a few words what it does to the broker.
	does string
	// target is the broker that it is for; nil is any.
	target     func(context.Context, *cluster.Cluster, Request) (int, error)
	hurt, mend func(*cluster.Cluster, context.Context, int) error
}

var kinds = []kind{
	{name: "broker-kill", does: "kill -9 of broker %d",
		hurt: (*cluster.Cluster).Kill, mend: (*cluster.Cluster).Restart},
	{name: "transaction-coordinator-kill", does: "kill -9 of broker %d",
		target: func(ctx context.Context, c *cluster.Cluster, r Request) (int, error) {
			return c.TransactionCoordinator(ctx, r.TransactionalID)
		}, hurt: (*cluster.Cluster).Kill, mend: (*cluster.Cluster).Restart},
	{name: "group-coordinator-kill", does: "kill -9 of broker %d",
		target: func(ctx context.Context, c *cluster.Cluster, r Request) (int, error) {
			return c.GroupCoordinator(ctx, r.Group)
		}, hurt: (*cluster.Cluster).Kill, mend: (*cluster.Cluster).Restart},
	{name: "broker-freeze", does: "broker %d frozen",
		hurt: (*cluster.Cluster).Pause,
		mend: func(c *cluster.Cluster, ctx context.Context, node int) error {
			if err := c.Unpause(ctx, node); err != nil {
				return err
			}
			return c.AwaitBroker(ctx, node)
		}},
	{name: "network-cut", does: "nothing passes to or from broker %d",
		hurt: func(c *cluster.Cluster, _ context.Context, node int) error { return c.Cut(node) }, mend: (*cluster.Cluster).Heal},
	{name: "network-refuse", does: "broker %d refuses connections",
		hurt: func(c *cluster.Cluster, _ context.Context, node int) error { return c.Refuse(node) }, mend: (*cluster.Cluster).Heal},
	{name: "network-latency", does: "300±200 ms each way to and from broker %d",
		hurt: func(c *cluster.Cluster, _ context.Context, node int) error {
			return c.Delay(node, 300*time.Millisecond, 200*time.Millisecond)
		}, mend: (*cluster.Cluster).Heal},
	{name: "network-loss", does: "half the connections to broker %d swallow, the others break off",
		hurt: func(c *cluster.Cluster, _ context.Context, node int) error { return c.Lose(node, 0.5) }, mend: (*cluster.Cluster).Heal},
	{name: "disk-full", does: "nothing left of the disk of broker %d",
		hurt: (*cluster.Cluster).FillDisk,
		mend: func(c *cluster.Cluster, ctx context.Context, node int) error {
			if err := c.EmptyDisk(ctx, node); err != nil {
				return err
			}
			return c.Restart(ctx, node)
		}},
}

// Kinds are the names of the faults.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// mending outlasts its context: whoever asked for the fault may be gone, and it must not stay.
const mending = 4 * time.Minute

// Do does a fault and returns when it is mended and the cluster has recovered. It says through made what it does, as soon as
// it is done. Where ctx ends earlier, so does the fault.
func Do(ctx context.Context, c *cluster.Cluster, r Request, made func(string)) (err error) {
	random := rand.New(rand.NewPCG(r.Seed, 0)) //nolint:gosec // a choice, not a secret
	nodes := c.Brokers()
	node := nodes[random.IntN(len(nodes))]
	k := kinds[random.IntN(len(kinds))]
	if r.Kind != "" {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == r.Kind })
		if i < 0 {
			return fmt.Errorf("fault %q is not known: want one of %s", r.Kind, strings.Join(Kinds(), ", "))
		}
		k = kinds[i]
	}
	if k.target != nil {
		if node, err = k.target(ctx, c, r); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mending)
		defer cancel()
		if mended := k.mend(c, ctx, node); mended != nil {
			err = errors.Join(err, fmt.Errorf("%s: mend: %w", k.name, mended))
			return
		}
		if recovered := c.AwaitInSync(ctx); recovered != nil {
			err = errors.Join(err, fmt.Errorf("%s: recover: %w", k.name, recovered))
		}
	}()
	if err := k.hurt(c, ctx, node); err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	made(k.name + ": " + fmt.Sprintf(k.does, node))
	timer := time.NewTimer(r.Lasts)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}
