//go:build synctests

package service

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/harness/hostile"
)

func (b *bench) admin() *kadm.Client { return kadm.NewClient(b.client) }

// left waits until nobody is in the group. A member that stops while it joins is in it until its session has ended.
func (b *bench) left(group string) {
	b.Helper()
	for range 600 {
		groups, err := b.admin().DescribeGroups(b.Context(), group)
		if err != nil {
			b.Fatal(err)
		}
		if len(groups[group].Members) == 0 {
			return
		}
		time.Sleep(time.Second)
	}
	b.Fatalf("group %s still has members after ten minutes", group)
}

// deleted topics are gone, and with them what groups have committed of them, as real brokers do it.
func (b *bench) deleted(names ...string) {
	b.Helper()
	if _, err := b.admin().DeleteTopics(b.Context(), names...); err != nil {
		b.Fatalf("delete %v: %v", names, err)
	}
	b.client.PurgeTopicsFromClient(names...)
}

func TestPipelineGoesOnAfterATopicOfItsIsMadeAgain(t *testing.T) {
	for _, topic := range []string{"opinions.scored", "opinions.dlq"} {
		t.Run(topic, func(t *testing.T) {
			with(t, func(b *bench) {
				b.pipelines("opinions")
				r := b.run(b.open(b.config("opinions")))
				send := func(first int) {
					b.send("opinions.raw", first, 10)
					b.produce(&kgo.Record{Topic: "opinions.raw", Key: []byte("k"), Value: []byte("no JSON")})
				}
				send(0)
				r.committed(time.Minute, 11)
				b.deleted(topic)
				send(10)
				r.streamed(time.Minute, false, "UNKNOWN_TOPIC")
				b.topics(nil, topic)
				r.committed(2*time.Minute, 22)
				r.streamed(time.Minute, true, "")
				r.end()
				want := map[string]int{"opinions.scored": 20, "opinions.dlq": 2}
				want[topic] /= 2 // what was in it is gone
				for name, n := range want {
					b.count(name, n)
				}
			})
		})
	}
}

func TestDeletedTopicOfAttemptsIsMadeAgain(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		const topic = "nearline.attempts.nearline-opinions"
		r := b.run(b.open(b.config("opinions")))
		b.send("opinions.raw", 0, 10)
		r.committed(time.Minute, 10)
		b.deleted(topic)
		second := b.config("opinions")
		second.Kafka.Replica = "second"
		other := b.run(b.open(second)) // partitions change hands: both look for marks, and write some
		b.send("opinions.raw", 10, 50)
		r.until(2*time.Minute, "60 records", func() bool { return r.Committed()+other.Committed() == 60 })
		r.streamed(time.Minute, true, "")
		topics, err := b.admin().ListTopics(b.Context(), topic)
		if err != nil || topics[topic].Err != nil {
			b.Errorf("%s is not there again: %v, %v", topic, err, topics[topic].Err)
		}
		other.end()
		r.end()
		b.count("opinions.scored", 60)
	})
}

// keys of the states that a topic has.
func (b *shop) states(topic string) (n int) {
	b.Helper()
	for _, r := range b.read(topic) {
		if !strings.HasPrefix(string(r.Key), "\x00") {
			n++
		}
	}
	return n
}

func TestViewDoesNotBeginAnewInSilenceWhenItsStatesAreDeleted(t *testing.T) {
	for name, remade := range map[string]bool{"and nobody makes them": false, "and somebody, or a broker, makes them again": true} {
		t.Run(name, func(t *testing.T) {
			inShop(t, func(b *shop) {
				c := b.config()
				states, updates := c.Features.StateTopic("item"), c.Features.UpdatesTopic("item")
				r := b.run(b.open(c))
				b.load(100)
				r.learned(time.Minute, b.want)
				remake := func() {
					if !remade {
						return
					}
					if _, err := b.admin().CreateTopic(b.Context(), 3, 1, nil, states); err != nil {
						b.Fatal(err)
					}
				}
				b.deleted(states)
				remake()
				r.committed(time.Minute, 100)
				before := r.Committed()
				b.load(50)
				r.streamed(2*time.Minute, false, "the view does not begin anew by itself")
				r.streamed(time.Minute, false, states)
				r.until(time.Minute, "events that have nothing to do with the states", func() bool { return r.Committed() == before+50 })
				r.end()

				again := b.run(b.open(b.config()))
				again.streamed(2*time.Minute, false, "the view does not begin anew by itself")
				again.streamed(time.Minute, false, states)
				time.Sleep(time.Minute)
				if remade {
					if n := b.states(states); n > 0 {
						b.Errorf("%d states were written to the new topic", n)
					}
				} else if topics, err := b.admin().ListTopics(b.Context(), states); err != nil || topics[states].Err == nil {
					b.Errorf("the topic was made again in silence: %v", err)
				}
				again.end()

				// What the message says: with the group's offsets at the earliest, the view counts what the updates still have, which is all.
				var earliest kadm.Offsets
				for p := range int32(3) {
					earliest.Add(kadm.Offset{Topic: updates, Partition: p, At: 0, LeaderEpoch: -1})
				}
				b.left(c.Features.Group("item"))
				committed, err := b.admin().CommitOffsets(b.Context(), c.Features.Group("item"), earliest)
				if err == nil {
					err = committed.Error()
				}
				if err != nil {
					b.Fatal(err)
				}
				last := b.run(b.open(b.config()))
				last.learned(time.Minute, b.want)
				last.streamed(time.Minute, true, "")
				last.end()
			})
		})
	}
}

// only the offsets of a topic.
func only(offsets kadm.Offsets, topic string) kadm.Offsets {
	of := kadm.Offsets{}
	for _, o := range offsets[topic] {
		of.Add(o)
	}
	return of
}

// TestViewWhoseUpdatesAreAllDeletedDoesNotBeginAnewInSilence: what was read is deleted after features.retention, and the topic of updates then begins
// where the group stands, as it does for a group that was told to begin anew.
func TestViewWhoseUpdatesAreAllDeletedDoesNotBeginAnewInSilence(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		states, updates := c.Features.StateTopic("item"), c.Features.UpdatesTopic("item")
		r := b.run(b.open(c))
		b.load(100)
		r.learned(time.Minute, b.want)
		r.end()
		read, err := b.admin().FetchOffsets(b.Context(), c.Features.Group("item"))
		if err == nil {
			_, err = b.admin().DeleteRecords(b.Context(), only(read.Offsets(), updates))
		}
		if err != nil {
			b.Fatal(err)
		}
		b.deleted(states)
		again := b.run(b.open(b.config()))
		again.streamed(2*time.Minute, false, "the view does not begin anew by itself")
		again.end()
	})
}

// TestViewThatLostItsOffsetsAndItsStatesDoesNotBeginAnewInSilence: it stood still for longer than the brokers keep offsets, and its place says where it was.
func TestViewThatLostItsOffsetsAndItsStatesDoesNotBeginAnewInSilence(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		r := b.run(b.open(c))
		b.load(100)
		r.learned(time.Minute, b.want)
		r.end()
		b.left(c.Features.Group("item"))
		lost, err := b.admin().DeleteGroups(b.Context(), c.Features.Group("item"))
		if err == nil {
			err = lost.Error()
		}
		if err != nil {
			b.Fatal(err)
		}
		b.deleted(c.Features.StateTopic("item"))
		again := b.run(b.open(b.config()))
		again.streamed(2*time.Minute, false, "the view does not begin anew by itself")
		again.end()
	})
}

// TestViewTakesItsStatesThatWerePutBack as its message says: into another topic of that name, with the group's offsets committed as they are.
func TestViewTakesItsStatesThatWerePutBack(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		states, updates, group := c.Features.StateTopic("item"), c.Features.UpdatesTopic("item"), c.Features.Group("item")
		r := b.run(b.open(c))
		b.load(100)
		r.learned(time.Minute, b.want)
		r.end()
		kept := b.read(states)
		b.deleted(states)
		if _, err := b.admin().CreateTopic(b.Context(), 3, 1, nil, states); err != nil {
			b.Fatal(err)
		}
		client, err := b.world.Connection(b.world.Line()).Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		for _, r := range kept {
			if err := client.ProduceSync(b.Context(), &kgo.Record{Topic: states, Partition: r.Partition, Key: r.Key, Value: r.Value}).FirstErr(); err != nil {
				b.Fatal(err)
			}
		}
		read, err := b.admin().FetchOffsets(b.Context(), group)
		if err != nil {
			b.Fatal(err)
		}
		current := kadm.Offsets{}
		for _, o := range only(read.Offsets(), updates)[updates] {
			o.Metadata = ""
			current.Add(o)
		}
		b.left(group)
		committed, err := b.admin().CommitOffsets(b.Context(), group, current)
		if err == nil {
			err = committed.Error()
		}
		if err != nil {
			b.Fatal(err)
		}
		again := b.run(b.open(b.config()))
		b.load(100)
		again.learned(2*time.Minute, b.want)
		again.streamed(time.Minute, true, "")
		again.end()
	})
}

func TestViewBeginsAnewWhenBothItsTopicsAreDeleted(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		r := b.run(b.open(c))
		b.load(100)
		r.learned(time.Minute, b.want)
		r.end()
		// As brokers do with a topic's offsets when it is deleted.
		var gone kadm.TopicsSet
		gone.Add(c.Features.UpdatesTopic("item"), 0, 1, 2)
		b.left(c.Features.Group("item"))
		lost, err := b.admin().DeleteOffsets(b.Context(), c.Features.Group("item"), gone)
		if err == nil {
			err = lost.Error()
		}
		if err != nil {
			b.Fatal(err)
		}
		b.deleted(c.Features.StateTopic("item"), c.Features.UpdatesTopic("item"))
		b.want = map[string]*expected{}
		again := b.run(b.open(b.config()))
		b.load(50)
		again.learned(time.Minute, b.want)
		again.streamed(time.Minute, true, "")
		again.end()
	})
}

func TestDeletedUpdatesAreNotMadeAgainInSilence(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		updates := c.Features.UpdatesTopic("item")
		r := b.run(b.open(c))
		b.load(100)
		r.learned(time.Minute, b.want)
		b.deleted(updates)
		b.load(20)
		r.streamed(2*time.Minute, false, updates)
		if _, err := b.admin().CreateTopic(b.Context(), 3, 1, nil, updates); err != nil {
			b.Fatal(err)
		}
		r.streamed(2*time.Minute, false, "topic "+updates+" was deleted and made anew while running")
		r.end()
		b.deleted(updates)

		again := b.run(b.open(b.config()))
		again.streamed(time.Minute, false, "topic "+updates+" is gone, though the view has begun")
		time.Sleep(time.Minute)
		if topics, err := b.admin().ListTopics(b.Context(), updates); err != nil || topics[updates].Err == nil {
			b.Errorf("the topic was made again in silence: %v", err)
		}
		again.end()
	})
}

// allocated is what f allocates in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const (
	bombSize = 320 << 20
	// bombCost is twice what everything else in such a test allocates. Who takes a bomb apart allocates its size at least.
	bombCost = 240 << 20
)

func TestBombAmongTheAttemptsCostsNoMemoryAndNoWork(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		const topic = "nearline.attempts.nearline-opinions"
		if _, err := b.admin().CreateTopic(b.Context(), 1, 1, nil, topic); err != nil {
			b.Fatal(err)
		}
		b.write(topic, hostile.NewGenerator(1).Bomb(0, kgo.CodecZstd, bombSize))
		flood := &hostile.Batch{Codec: kgo.CodecZstd, Records: make([]hostile.Record, 60_000)}
		for i := range flood.Records {
			flood.Records[i].Value = []byte("x")
		}
		b.write(topic, flood)
		cost := allocated(func() {
			r := b.run(b.open(b.config("opinions")))
			b.send("opinions.raw", 0, 50)
			r.committed(time.Minute, 50)
			r.streamed(2*time.Minute, true, "")
			r.end()
		})
		if b.count("opinions.scored", 50); cost > bombCost {
			b.Errorf("%d MiB were allocated: want under %d", cost>>20, bombCost>>20)
		}
	})
}

func TestBombAmongTheStatesIsAFaultAndNoStateIsSkipped(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		states := c.Features.StateTopic("item")
		r := b.run(b.open(c))
		b.load(100)
		r.learned(time.Minute, b.want)
		r.end()
		bomb := hostile.NewGenerator(1).Bomb(2, kgo.CodecZstd, bombSize)
		b.write(states, bomb)

		again := b.run(b.open(b.config()))
		b.load(100)
		// Who takes it apart finds no state in it, and says something else.
		again.streamed(2*time.Minute, false, "holds more than may be kept in memory")
		if again.Health().Stream.Report().OK {
			b.Error("all is well, it says")
		}
		// What the message says: it holds at once, and not only when the topic is compacted.
		client, err := b.world.Connection(b.world.Line()).Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		for _, record := range bomb.Records {
			if err := client.ProduceSync(context.Background(), &kgo.Record{Topic: states, Partition: 2, Key: record.Key}).FirstErr(); err != nil {
				b.Fatal(err)
			}
		}
		again.learned(2*time.Minute, b.want)
		again.streamed(2*time.Minute, true, "")
		again.end()
	})
}

func TestBombAmongTheUpdatesIsADeadLetter(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		r := b.run(b.open(c))
		b.load(50)
		r.learned(time.Minute, b.want)
		bomb := hostile.NewGenerator(1).Bomb(1, kgo.CodecZstd, bombSize)
		cost := allocated(func() {
			b.write(c.Features.UpdatesTopic("item"), bomb)
			b.load(50)
			r.learned(2*time.Minute, b.want)
		})
		if cost > bombCost {
			b.Errorf("%d MiB were allocated: want under %d", cost>>20, bombCost>>20)
		}
		r.end()
		letters := b.read(c.Features.DeadLetters)
		if !slices.ContainsFunc(letters, func(l *kgo.Record) bool { return header(l, "nearline-dlq-class") == "too_large" }) {
			b.Errorf("none of %d dead letters is the bomb", len(letters))
		}
	})
}
