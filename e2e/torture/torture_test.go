package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nearline/e2e/cluster"
	"nearline/e2e/faults"
)

// TestTortureOnRealCluster has replicas and brokers hurt while records come, on three brokers: none may be lost, doubled or
// out of order. It is the short run of what `make torture` does for long.
func TestTortureOnRealCluster(t *testing.T) {
	o := newOrdeal(t)
	o.lasts, o.rate, o.seed, o.every, o.faults = 90*time.Second, 1000, 5, 3*time.Second, allFaults()
	r := o.check(t, cluster.ForTest(t, cluster.Options{}))
	// Fewer, and nothing was shown.
	if r.Records < 2000 || r.Faults < 10 {
		t.Errorf("%d records and %d faults: want at least 2000 and 10", r.Records, r.Faults)
	}
	ofCluster := 0
	for kind := range r.Stalls {
		if slices.Contains(faults.Kinds(), kind) {
			ofCluster++
		}
	}
	if ofCluster < 3 {
		t.Errorf("%d kinds of the cluster's faults came, want at least 3: %v", ofCluster, r.Stalls)
	}
}

// TestKafkaVersions has replicas killed on the newest and on the oldest Kafka that are supported, and with both protocols of
// groups where there are two.
func TestKafkaVersions(t *testing.T) {
	for _, c := range []struct {
		name, version, config string
		properties            map[string]string
	}{
		{name: "newest", version: cluster.Newest},
		{name: "newest, KIP-848", version: cluster.Newest, config: "group_protocol: consumer", properties: quickConsumers},
		{name: "oldest", version: cluster.Oldest},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrdeal(t)
			o.lasts, o.rate, o.seed, o.every, o.faults, o.kafka = 30*time.Second, 300, 1, 6*time.Second, []string{"kill"}, c.config
			r := o.check(t, cluster.ForTest(t, cluster.Options{Version: c.version, Properties: c.properties}))
			if r.Records < 1000 || r.Faults < 2 {
				t.Errorf("%d records and %d faults: want at least 1000 and 2", r.Records, r.Faults)
			}
		})
	}
}

// quickConsumers makes brokers give up a silent member after 10 s. With KIP-848 it is they that decide, and they wait for 45 s.
var quickConsumers = map[string]string{
	"group.consumer.session.timeout.ms":        "10000",
	"group.consumer.min.session.timeout.ms":    "10000",
	"group.consumer.heartbeat.interval.ms":     "1000",
	"group.consumer.min.heartbeat.interval.ms": "1000",
}

// newOrdeal is one of bin/nearline, with a folder for its logs that stays.
func newOrdeal(t *testing.T) ordeal {
	t.Helper()
	program, err := filepath.Abs("../../bin/nearline")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	folder, err := newFolder("../../.cache/e2e/" + strings.NewReplacer("/", "_", ",", "").Replace(t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	hurt, err := buildHurt(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	return ordeal{program: program, hurt: hurt, folder: folder, out: t.Output()}
}

// check runs it, and wants the promise kept.
func (o ordeal) check(t *testing.T, c *cluster.Cluster) report {
	t.Helper()
	line, r, err := o.run(t.Context(), c)
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("%s", line)
	if r.Lost+r.Doubled+r.OutOfOrder+r.Causeless+r.Misplaced+r.Unknown+r.Miscounted != 0 {
		t.Errorf("lost %d, doubled %d, out of order %d, dead letters without cause %d, misplaced %d, unknown %d, features wrong %d: want none of each (seed %d)",
			r.Lost, r.Doubled, r.OutOfOrder, r.Causeless, r.Misplaced, r.Unknown, r.Miscounted, o.seed)
	}
	if r.Aggregates == 0 {
		t.Error("no features were compared")
	}
	return r
}
