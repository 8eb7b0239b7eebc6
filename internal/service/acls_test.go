//go:build synctests

package service

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/acls"
	"nearline/internal/config"
	"nearline/internal/harness/kafkatest"
)

// guarded is a shop on brokers that deny what no ACL allows. All topics are there.
func guarded(t *testing.T, f func(s *shop)) {
	t.Helper()
	withShape(t, kafkatest.Shape{Partitions: 1, Denies: true}, func(b *bench) {
		b.pipelines("posts", "events")
		s := &shop{bench: b, want: map[string]*expected{}}
		s.make(s.config())
		f(s)
	})
}

// granted is the configuration of a service that may do what it is allowed.
func (b *shop) granted(as func(*consumers.KafkaConfig)) *config.Config {
	b.Helper()
	c := b.config()
	c.Kafka.SASL = kafkatest.LogIn(kafkatest.User).SASL
	as(&c.Kafka)
	return c
}

// make the topics that the service makes where it may.
func (b *shop) make(c *config.Config) {
	b.Helper()
	cluster, err := consumers.Dial(b.world.Connection(b.world.Line()), quiet(b).Logger)
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	for _, use := range c.Topics() {
		topic := OwnTopic(c.Features.Config, use)
		switch {
		case !use.Made():
			continue
		case use.Use == config.UseAttempts:
			topic = consumers.AttemptsTopic(use.Topic)
		case use.Use == config.UseProgress:
			topic = consumers.ProgressTopic(use.Topic)
		}
		if err := cluster.CreateTopic(b.Context(), topic); err != nil {
			b.Fatal(err)
		}
	}
}

// acl is a right as the brokers are told of it.
func acl(r acls.Right) kafkatest.ACL {
	kinds := map[acls.Kind]kmsg.ACLResourceType{
		acls.Topic: kmsg.ACLResourceTypeTopic, acls.Group: kmsg.ACLResourceTypeGroup, acls.TransactionalID: kmsg.ACLResourceTypeTransactionalId,
	}
	operations := map[acls.Operation]kmsg.ACLOperation{
		acls.Read: kmsg.ACLOperationRead, acls.Write: kmsg.ACLOperationWrite, acls.Create: kmsg.ACLOperationCreate, acls.Describe: kmsg.ACLOperationDescribe,
	}
	return kafkatest.ACL{Kind: kinds[r.Resource.Kind], Name: r.Resource.Name, Prefixed: r.Resource.Prefixed, Operation: operations[r.Operation]}
}

// needed are the rights that the service does not work without.
func needed(c *config.Config) []acls.Right {
	return slices.DeleteFunc(acls.Of(c, acls.Service), func(r acls.Right) bool { return !r.Needed() })
}

func (b *shop) allow(rights ...acls.Right) {
	b.Helper()
	var all []kafkatest.ACL
	for _, r := range rights {
		all = append(all, acl(r))
	}
	b.world.Allow(all...)
}

// missing are the rights that the service lacks, as it is told by the brokers.
func (b *shop) missing(rights []acls.Right) (missing []string) {
	b.Helper()
	answer, err := acls.Ask(b.Context(), b.world.As(kafkatest.LogIn(kafkatest.User), b.world.Line()), rights)
	if err != nil || len(answer.Untold) > 0 {
		b.Fatalf("ask for rights: %v, and nothing is told of %v", err, answer.Untold)
	}
	for _, r := range answer.Missing {
		missing = append(missing, name(r))
	}
	return missing
}

func name(r acls.Right) string { return fmt.Sprint(r.Operation, " ", r.Resource) }

// kindsOfMembers are the ways to be a member of a group.
var kindsOfMembers = map[string]func(*consumers.KafkaConfig){
	"classic":         func(*consumers.KafkaConfig) {},
	"static":          func(c *consumers.KafkaConfig) { c.Static = true },
	"KIP-848":         func(c *consumers.KafkaConfig) { c.GroupProtocol = consumers.ConsumerProtocol },
	"KIP-848, static": func(c *consumers.KafkaConfig) { c.GroupProtocol, c.Static = consumers.ConsumerProtocol, true },
}

// spoilt records of every topic that the service reads, which become dead letters.
func (b *shop) spoilt(c *config.Config) {
	b.Helper()
	for _, topic := range []string{"posts.raw", "events.raw", c.Features.UpdatesTopic("item")} {
		b.produce(&kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("no JSON")})
	}
}

// done waits until all that was sent is, dead letters included.
func (b *shop) done(r *running, c *config.Config, limit time.Duration, dead int) {
	b.Helper()
	r.learned(limit, b.want)
	for _, topic := range []string{"posts.dlq", "events.dlq", c.Features.DeadLetters} {
		r.until(limit, "dead letters in "+topic, func() bool { return len(b.read(topic)) == dead })
	}
}

func TestTheServiceWorksWithTheRightsThatItNeedsAndNoOthers(t *testing.T) {
	for kind, with := range kindsOfMembers {
		t.Run(kind, func(t *testing.T) {
			guarded(t, func(b *shop) {
				c := b.granted(with)
				rights := needed(c)
				b.allow(rights...)
				if missing := b.missing(rights); len(missing) > 0 {
					t.Errorf("missing are %v, want none", missing)
				}
				r := b.run(b.open(c))
				b.load(100)
				b.spoilt(c)
				b.done(r, c, time.Minute, 1)
				r.streamed(time.Minute, true, "")
				r.end()
			})
		})
	}
}

func TestEachRightOfTheServiceIsNeeded(t *testing.T) {
	var all []acls.Right
	guarded(t, func(b *shop) { all = needed(b.config()) })
	for kind, with := range kindsOfMembers {
		for _, right := range all {
			// What a member does beside its group is the same for every kind, and for every pipeline.
			if kind != "classic" && !strings.Contains(strings.Join(right.Why, " "), "pipeline posts") {
				continue
			}
			t.Run(kind+"/"+name(right), func(t *testing.T) {
				t.Parallel()
				guarded(t, func(b *shop) {
					c := b.granted(with)
					b.allow(all...)
					dead := 1
					// Marks are read where there are some. Places are read where a group has no offsets yet.
					if right.Operation != acls.Read || !strings.HasPrefix(right.Resource.Name, "nearline.progress.") {
						before := b.run(b.open(c))
						b.load(20)
						b.spoilt(c)
						b.done(before, c, time.Minute, dead)
						before.end()
						dead++
					}
					b.world.Withdraw(acl(right))
					if missing := b.missing(all); !slices.Equal(missing, []string{name(right)}) {
						t.Errorf("missing are %v, want %s", missing, name(right))
					}
					r := b.run(b.open(c))
					b.load(20)
					b.spoilt(c)
					// What a member may not do is said, with what it is of and what to do.
					var said string
					for range 180 {
						if said = strings.Join(r.Health().Stream.Report().Missing, "; "); strings.Contains(said, "nearline check") {
							break
						}
						time.Sleep(time.Second)
					}
					if want := strings.TrimSuffix(right.Resource.Name, "/"); !strings.Contains(said, want) || !strings.Contains(said, "nearline check") {
						t.Errorf("the stream's health says %q, want %s in it, and what to do", said, want)
					}
					b.allow(right)
					b.done(r, c, 3*time.Minute, dead)
					r.streamed(time.Minute, true, "")
					r.end()
				})
			})
		}
	}
}
