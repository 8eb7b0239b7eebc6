//go:build synctests

package consumers_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	security "nearline/kafka"
	"nearline/pipeline"
)

// rotation of what a member logs in with, while it reads.
type rotation struct {
	*kafkatest.World
	gate  *kafkatest.Gate
	login *kafkatest.Login
}

// groups are the ways to be a member.
var groups = map[string]func(*consumers.KafkaConfig){
	"classic":         func(*consumers.KafkaConfig) {},
	"static":          func(c *consumers.KafkaConfig) { c.Static = true },
	"kip-848":         func(c *consumers.KafkaConfig) { c.GroupProtocol = consumers.ConsumerProtocol },
	"kip-848, static": func(c *consumers.KafkaConfig) { c.GroupProtocol, c.Static = consumers.ConsumerProtocol, true },
}

// flow of records: so many a second, for so many seconds, while the brokers want a new login every so often.
type flow struct {
	rate, seconds int
	again         time.Duration
}

// rotate while records flow, and say how the member fared.
func rotate(t *testing.T, mechanism, group string, f flow, steps map[int]func(r rotation), check func(t *testing.T, r rotation, tally *kafkatest.Tally)) {
	t.Helper()
	gate, world := new(kafkatest.Gate), kafkatest.NewLogin(t, mechanism, "world", "world")
	for _, user := range []string{"world", "a"} {
		gate.Admit(user, user)
	}
	shape := kafkatest.Shape{Brokers: 3, Partitions: 4, Gate: gate, Users: []string{"world", "a", "b"}, Login: world, Options: []kfake.Opt{
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0", "connections.max.reauth.ms": strconv.FormatInt(f.again.Milliseconds(), 10)})}}
	kafkatest.Run(t, shape, func(w *kafkatest.World) {
		r := rotation{w, gate, kafkatest.NewLogin(t, mechanism, "a", "a")}
		line := w.Line()
		c := config(w, line, 0)
		c.Connection = w.As(r.login.Config(), line)
		c.Connection.Log(kafkatest.Log(t))
		groups[group](&c.Kafka)
		worker := w.Start(cycle(c, new(kafkatest.Model)), line)
		random := rand.New(rand.NewPCG(1, 1))
		for second := range f.seconds {
			if step := steps[second]; step != nil {
				step(r)
			}
			for range 10 {
				w.Produce(random, kafkatest.Mix{Records: f.rate / 10, Keys: 50})
				time.Sleep(100 * time.Millisecond)
			}
		}
		finish(t, w, worker)
		check(t, r, worker.Tally)
	})
}

func TestARotationThatOverlapsAbortsNoCycle(t *testing.T) {
	for group := range groups {
		for name, way := range map[string]struct {
			mechanism   string
			file        func(r rotation)
			admit, drop func(g *kafkatest.Gate)
			after       [2]string
		}{
			"plain, another password": {security.Plain, func(r rotation) { r.login.Password("new") },
				func(g *kafkatest.Gate) { g.Admit("a", "a", "new") }, func(g *kafkatest.Gate) { g.Admit("a", "new") }, [2]string{"a", "new"}},
			"plain, another user": {security.Plain, func(r rotation) { r.login.User("b"); r.login.Password("b") },
				func(g *kafkatest.Gate) { g.Admit("b", "b") }, func(g *kafkatest.Gate) { g.Admit("a") }, [2]string{"b", "b"}},
			"scram, another user": {security.Scram256, func(r rotation) { r.login.User("b"); r.login.Password("b") },
				func(g *kafkatest.Gate) { g.Admit("b", "b") }, func(g *kafkatest.Gate) { g.Admit("a") }, [2]string{"b", ""}},
		} {
			t.Run(group+"/"+name, func(t *testing.T) {
				t.Parallel()
				rotate(t, way.mechanism, group, flow{200, 20, 5 * time.Second}, map[int]func(rotation){
					6:  func(r rotation) { way.admit(r.gate) },
					8:  way.file,
					14: func(r rotation) { way.drop(r.gate) },
				}, func(t *testing.T, r rotation, tally *kafkatest.Tally) {
					if n := r.gate.Admitted(way.after[0], way.after[1]); n < 3 {
						t.Errorf("%d logins with what the files have now: the rotation was not seen", n)
					}
					if n := r.gate.Refused(); n > 0 {
						t.Errorf("the brokers refused %d logins: want none where both are admitted for a while", n)
					}
					undisturbed(t, tally)
				})
			})
		}
	}
}

// undisturbed says that the member never gave anything up.
func undisturbed(t *testing.T, tally *kafkatest.Tally) {
	t.Helper()
	if aborts, opened := tally.Aborts.Load(), tally.Opened.Load(); aborts != 0 || opened != 1 || len(tally.Errors()) != 0 {
		t.Errorf("%d cycles were aborted and %d members were opened (%v): want none, and one", aborts, opened, tally.Errors())
	}
}

// often has every connection log in again within the moment of a change: the client begins a second before it must.
var often = flow{100, 20, 1300 * time.Millisecond}

func TestARotationInOneMomentCostsNoMember(t *testing.T) {
	for group := range groups {
		for name, first := range map[string]bool{"the file first": true, "the brokers first": false} {
			for _, apart := range []time.Duration{400 * time.Millisecond, 1800 * time.Millisecond} {
				t.Run(fmt.Sprintf("%s/%s by %v", group, name, apart), func(t *testing.T) {
					t.Parallel()
					rotate(t, security.Plain, group, often, map[int]func(rotation){10: func(r rotation) {
						file, brokers := func() { r.login.Password("new") }, func() { r.gate.Admit("a", "new") }
						if first {
							file()
							time.AfterFunc(apart, brokers)
						} else {
							brokers()
							time.AfterFunc(apart, file)
						}
					}}, func(t *testing.T, r rotation, tally *kafkatest.Tally) {
						if r.gate.Admitted("a", "new") < 3 {
							t.Error("the rotation was not seen")
						}
						undisturbed(t, tally)
					})
				})
			}
		}
	}
}

func TestARotationThatTakesTooLongEndsWhenBothSidesAgree(t *testing.T) {
	for group := range groups {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			rotate(t, security.Plain, group, flow{50, 90, 5 * time.Second}, map[int]func(rotation){
				10: func(r rotation) { r.gate.Admit("a", "new") },
				70: func(r rotation) { r.login.Password("new") },
			}, func(t *testing.T, r rotation, tally *kafkatest.Tally) {
				if r.gate.Admitted("a", "new") < 3 {
					t.Error("the rotation was not seen")
				}
				t.Logf("%d members, %d aborts: %v", tally.Opened.Load(), tally.Aborts.Load(), tally.Errors())
			})
		})
	}
}

func TestAWrongPasswordIsPermanentAtOnce(t *testing.T) {
	for group := range groups {
		t.Run(group, func(t *testing.T) {
			gate := new(kafkatest.Gate)
			gate.Admit("world", "world")
			gate.Admit("a", "a")
			kafkatest.Run(t, kafkatest.Shape{Gate: gate, Users: []string{"world", "a"}, Login: kafkatest.NewLogin(t, security.Plain, "world", "world")}, func(w *kafkatest.World) {
				login, line := kafkatest.NewLogin(t, security.Plain, "a", "wrong"), w.Line()
				c := config(w, line, 0)
				c.Connection = w.As(login.Config(), line)
				groups[group](&c.Kafka)
				worker := w.Start(cycle(c, new(kafkatest.Model)), line)
				time.Sleep(time.Second)
				now := worker.Status.Snapshot()
				if now.Healthy || now.Blame != pipeline.BlamePermanent || !security.Refused(now.Err) {
					t.Errorf("after a second: healthy %t, %v: %v; want a permanent fault that names the login", now.Healthy, now.Blame, now.Err)
				}
				if trouble := c.Connection.Trouble(false); trouble == "" {
					t.Error("the connection knows of no trouble")
				}
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(50, 10))
				login.Password("a")
				finish(t, w, worker)
				if trouble := c.Connection.Trouble(false); trouble != "" {
					t.Errorf("the connection still has trouble: %s", trouble)
				}
				if len(worker.Tally.Errors()) == 0 || !errors.Is(worker.Tally.Errors()[0], pipeline.ErrPermanent) {
					t.Errorf("the member failed with %v: want a permanent error first", worker.Tally.Errors())
				}
			})
		})
	}
}

// Whoever reads that a safeguard may be switched off does so.
func TestARefusedLoginAdvisesNothingAboutTopics(t *testing.T) {
	gate := new(kafkatest.Gate)
	gate.Admit("world", "world")
	gate.Admit("a", "a")
	kafkatest.Run(t, kafkatest.Shape{Gate: gate, Users: []string{"world", "a"}, Login: kafkatest.NewLogin(t, security.Plain, "world", "world")}, func(w *kafkatest.World) {
		line := w.Line()
		connection := w.As(kafkatest.NewLogin(t, security.Plain, "a", "wrong").Config(), line)
		cluster, err := consumers.Dial(connection, kafkatest.Log(t))
		if err != nil {
			t.Fatal(err)
		}
		w.Finally(cluster.Close)
		c := consumers.DefaultKafka()
		progress := consumers.OpenProgress(connection, c, cluster, "group", "reviews", kafkatest.Log(t))
		for of, err := range map[string]error{
			"attempts": cluster.EnsureAttempts(w.Context(), c, "group"),
			"progress": progress.Begin(w.Context(), consumers.Start{}),
		} {
			if !security.Refused(err) || strings.Contains(err.Error(), "go without") || strings.Contains(err.Error(), "create it") {
				t.Errorf("%s: got %v; want that the login is refused, and nothing about topics", of, err)
			}
		}
	})
}
