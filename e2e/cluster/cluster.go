// Package cluster runs a real Kafka in containers, for tests that hurt it: brokers are killed, frozen and started again, the
// network between them and their clients is cut, slowed or made to lose data, and their disks are filled.
//
// Each broker listens three times: for clients on the host directly, for clients on the host through a proxy that can be
// hurt, and for other containers. It judges nothing; what a client makes of a fault is the tests' matter.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
	"golang.org/x/sync/errgroup"
)

// Versions of Kafka that Nearline supports, and all between them.
const (
	Newest = "4.4.0"
	Oldest = "2.5.1" // the first with KIP-447, which fences a group's transactions by its generation
)

// Options of a cluster.
type Options struct {
	// Version of Kafka; "" is Newest. Below 3.3 the cluster gets a ZooKeeper.
	Version string
	// Brokers is how many; 0 is 3.
	Brokers int
	// Properties are added to every broker's configuration, or replace what is there: "broker.session.timeout.ms": "3000".
	Properties map[string]string
	// Security that the cluster has; nil is none, and everything is spoken in the clear.
	Security *Security
	// DiskMiB is the size of each broker's disk, which is in memory; 0 is 1024.
	DiskMiB int
}

// Cluster of brokers, which are numbered from 1. Its methods may be called concurrently, as long as nobody hurts one broker
// in two ways at once.
type Cluster struct {
	Version string
	Image   string

	options  Options
	identity *identity // nil without security
	engine   *client.Client
	network  *testcontainers.DockerNetwork
	proxies  *proxies
	brokers  []*broker
	others   []testcontainers.Container // ZooKeeper, and the keeper of the disks
	keeper   testcontainers.Container
	volumes  []string
}

// broker is one container.
type broker struct {
	node            int
	direct, proxied int // ports on the host
	behind          int // port to which the proxy connects
	container       *testcontainers.DockerContainer
}

// Start brings a cluster up and waits until it serves groups and transactions.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	if o.Version == "" {
		o.Version = Newest
	}
	if o.Brokers == 0 {
		o.Brokers = 3
	}
	if o.DiskMiB == 0 {
		o.DiskMiB = 1024
	}
	c := &Cluster{Version: o.Version, options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if o.Security != nil {
		if c.identity, err = newIdentity(o.Security); err != nil {
			return nil, err
		}
	}
	if c.engine, err = dial(ctx); err != nil {
		return nil, err
	}
	if c.Image, err = image(ctx, c.engine, o.Version); err != nil {
		return nil, err
	}
	if c.network, err = tcnetwork.New(ctx); err != nil {
		return nil, fmt.Errorf("make a network of containers: %w", err)
	}
	if err := c.disks(ctx); err != nil {
		return nil, err
	}
	if c.zookeeper() {
		if err := c.startZooKeeper(ctx); err != nil {
			return nil, err
		}
	}
	c.proxies = newProxies()
	for node := 1; node <= o.Brokers; node++ {
		b := &broker{node: node}
		for _, port := range []*int{&b.direct, &b.proxied, &b.behind} {
			if *port, err = freePort(ctx); err != nil {
				return nil, err
			}
		}
		c.brokers = append(c.brokers, b)
		if err := c.proxies.add(node, host(b.proxied), host(b.behind)); err != nil {
			return nil, err
		}
	}
	var starting errgroup.Group
	for _, b := range c.brokers {
		starting.Go(func() error { return c.start(ctx, b) })
	}
	if err := starting.Wait(); err != nil {
		return nil, err
	}
	return c, c.awaitReady(ctx)
}

// Close removes all containers, the network and the disks.
func (c *Cluster) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	var removing errgroup.Group
	for _, b := range c.brokers {
		if b.container != nil {
			removing.Go(func() error { return b.container.Terminate(ctx, testcontainers.StopTimeout(0)) })
		}
	}
	for _, other := range c.others {
		removing.Go(func() error { return other.Terminate(ctx, testcontainers.StopTimeout(0)) })
	}
	errs = append(errs, removing.Wait())
	if c.proxies != nil {
		errs = append(errs, c.proxies.close())
	}
	for _, volume := range c.volumes {
		_, err := c.engine.VolumeRemove(ctx, volume, client.VolumeRemoveOptions{Force: true})
		errs = append(errs, err)
	}
	if c.network != nil {
		errs = append(errs, c.network.Remove(ctx))
	}
	if c.engine != nil {
		errs = append(errs, c.engine.Close())
	}
	if c.identity != nil {
		errs = append(errs, os.RemoveAll(c.identity.folder))
	}
	return errors.Join(errs...)
}

// Brokers are the numbers of the brokers.
func (c *Cluster) Brokers() []int {
	nodes := make([]int, len(c.brokers))
	for i, b := range c.brokers {
		nodes[i] = b.node
	}
	return nodes
}

// Direct are the addresses for clients on the host.
func (c *Cluster) Direct() []string {
	return c.addresses(func(b *broker) string { return host(b.direct) })
}

// Proxied are the addresses for clients on the host whose network is to be hurt: Cut, Refuse, Delay, Lose.
func (c *Cluster) Proxied() []string {
	return c.addresses(func(b *broker) string { return host(b.proxied) })
}

// Internal are the addresses for containers in Network.
func (c *Cluster) Internal() []string {
	return c.addresses(func(b *broker) string { return fmt.Sprintf("%s:%d", alias(b.node), internalPort) })
}

// Network is the name of the containers' network.
func (c *Cluster) Network() string { return c.network.Name }

func (c *Cluster) addresses(of func(*broker) string) []string {
	all := make([]string, len(c.brokers))
	for i, b := range c.brokers {
		all[i] = of(b)
	}
	return all
}

// Ports inside the containers.
const (
	controllerPort = 9090
	internalPort   = 9092
	directPort     = 9093
	behindPort     = 9094
)

// alias is a broker's name in the network.
func alias(node int) string { return "kafka-" + strconv.Itoa(node) }

func host(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// zookeeper says whether the version is from before KRaft.
func (c *Cluster) zookeeper() bool {
	major, rest, _ := strings.Cut(c.Version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	of := func(s string) int { n, _ := strconv.Atoi(s); return n }
	return of(major) < 3 || of(major) == 3 && of(minor) < 3
}

// clusterID is 16 bytes in base64, as Kafka wants it.
const clusterID = "bmVhcmxpbmUtZTJlLWthZg"

// properties of a broker. Replication is three with two in sync where there are three brokers; timings are Kafka's own,
// except that a group need not wait for more members at its birth.
func (c *Cluster) properties(b *broker) (map[string]string, error) {
	listeners := fmt.Sprintf("INTERNAL://:%d,DIRECT://:%d,PROXIED://:%d", internalPort, directPort, behindPort)
	protocols := "INTERNAL:PLAINTEXT,DIRECT:PLAINTEXT,PROXIED:PLAINTEXT"
	replicas := strconv.Itoa(min(3, c.options.Brokers))
	inSync := strconv.Itoa(min(2, c.options.Brokers))
	p := map[string]string{
		"advertised.listeners":                     fmt.Sprintf("INTERNAL://%s:%d,DIRECT://%s,PROXIED://%s", alias(b.node), internalPort, host(b.direct), host(b.proxied)),
		"inter.broker.listener.name":               "INTERNAL",
		"log.dirs":                                 diskPath + "/log",
		"default.replication.factor":               replicas,
		"min.insync.replicas":                      inSync,
		"offsets.topic.replication.factor":         replicas,
		"offsets.topic.num.partitions":             "6",
		"transaction.state.log.replication.factor": replicas,
		"transaction.state.log.min.isr":            inSync,
		"transaction.state.log.num.partitions":     "6",
		"group.initial.rebalance.delay.ms":         "0",
	}
	if c.zookeeper() {
		p["broker.id"] = strconv.Itoa(b.node)
		p["zookeeper.connect"] = zookeeperAddress
	} else {
		voters := make([]string, len(c.brokers))
		for i, other := range c.brokers {
			voters[i] = fmt.Sprintf("%d@%s:%d", other.node, alias(other.node), controllerPort)
		}
		p["node.id"] = strconv.Itoa(b.node)
		p["process.roles"] = "broker,controller"
		p["controller.quorum.voters"] = strings.Join(voters, ",")
		p["controller.listener.names"] = "CONTROLLER"
		listeners += fmt.Sprintf(",CONTROLLER://:%d", controllerPort)
		protocols += ",CONTROLLER:PLAINTEXT"
	}
	p["listeners"] = listeners
	p["listener.security.protocol.map"] = protocols
	if c.options.Security != nil {
		if err := c.secure(p); err != nil {
			return nil, err
		}
	}
	maps.Copy(p, c.options.Properties)
	return p, nil
}

// start makes a broker's container.
func (c *Cluster) start(ctx context.Context, b *broker) error {
	properties, err := c.properties(b)
	if err != nil {
		return err
	}
	env := map[string]string{"CLUSTER_ID": clusterID, "KAFKA_HEAP_OPTS": "-Xms128m -Xmx400m", "KAFKA_OPTS": c.securityOptions()}
	for name, value := range properties {
		env["KAFKA_"+strings.ToUpper(strings.NewReplacer("_", "__", "-", "___", ".", "_").Replace(name))] = value
	}
	ports := network.PortMap{}
	for inside, outside := range map[int]int{directPort: b.direct, behindPort: b.behind} {
		ports[network.MustParsePort(fmt.Sprintf("%d/tcp", inside))] = []network.PortBinding{
			{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: strconv.Itoa(outside)}}
	}
	made, err := testcontainers.Run(ctx, c.Image, append(c.securityCustomizer(b.node),
		testcontainers.WithEnv(env),
		testcontainers.WithExposedPorts(fmt.Sprintf("%d/tcp", directPort), fmt.Sprintf("%d/tcp", behindPort)),
		tcnetwork.WithNetwork([]string{alias(b.node)}, c.network),
		testcontainers.WithConfigModifier(func(config *container.Config) { config.Hostname = alias(b.node) }),
		testcontainers.WithHostConfigModifier(func(config *container.HostConfig) {
			config.PortBindings = ports
			config.Mounts = append(config.Mounts, mount.Mount{Type: mount.TypeVolume, Source: c.volumes[b.node-1], Target: diskPath})
		}),
	)...)
	b.container = made
	if err != nil {
		return fmt.Errorf("start broker %d of %s: %w", b.node, c.Image, err)
	}
	return nil
}

const zookeeperAddress = "zookeeper:2181"

func (c *Cluster) startZooKeeper(ctx context.Context) error {
	made, err := testcontainers.Run(ctx, c.Image, testcontainers.WithCmd("zookeeper"),
		testcontainers.WithEnv(map[string]string{"KAFKA_HEAP_OPTS": "-Xmx128m"}),
		tcnetwork.WithNetwork([]string{"zookeeper"}, c.network))
	if made != nil {
		c.others = append(c.others, made)
	}
	if err != nil {
		return fmt.Errorf("start ZooKeeper of %s: %w", c.Image, err)
	}
	return nil
}

// broker of a number.
func (c *Cluster) broker(node int) (*broker, error) {
	i := slices.IndexFunc(c.brokers, func(b *broker) bool { return b.node == node })
	if i < 0 {
		return nil, fmt.Errorf("there is no broker %d: want 1 to %d", node, len(c.brokers))
	}
	return c.brokers[i], nil
}
