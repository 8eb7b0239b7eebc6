package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/consumers"
	"nearline/features"
	"nearline/features/redis"
	"nearline/internal/config"
	"nearline/pipeline"
)

// redisServer is the one that was named, or one of its own.
func (b *bench) redisServer(ctx context.Context) (address string, end func(), err error) {
	if b.redis != "" {
		return b.redis, func() {}, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return "", nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	folder, err := os.MkdirTemp("", "nearline-bench-")
	if err != nil {
		return "", nil, err
	}
	server := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no") //nolint:gosec // ended below
	if err := server.Start(); err != nil {
		return "", nil, fmt.Errorf("%w: install redis-server, or name a server with -redis", err)
	}
	end = func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.RemoveAll(folder)
	}
	store := redis.Open(redisConfig(address))
	defer store.Close()
	for range 100 {
		if err = store.Ping(ctx); err == nil {
			return address, end, nil
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			break
		}
	}
	end()
	return "", nil, err
}

func redisConfig(address string) redis.Config {
	c := redis.DefaultConfig()
	c.Addresses, c.Timeout, c.Prefix = []string{address}, 10*time.Second, "nearline-bench"
	return c
}

// benchView has a feature of each kind that a ranker reads.
const benchView = `{name: item, key: item_id, fields: [
  {name: reviews, count: {}}, {name: sentiment, default: 0.5, mean: {of: sentiment, label: positive, half_life: 168h}},
  {name: popularity, sum: {of: kind, values: {view: 1, cart: 4, purchase: 10}, half_life: 72h}},
  {name: latest, last: {of: user_id, n: 10}}, {name: best, top: {of: review_id, by: {of: value}, n: 3}}]}`

// featuring is the lookups, the aggregates and the way from an event to the store, with a real Redis.
func featuring(ctx context.Context, b *bench) ([]figure, error) {
	address, end, err := b.redisServer(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	var figures []figure
	for _, measure := range []func(context.Context, *bench, string) ([]figure, error){aggregating, lookingUp, lookupShare, aging} {
		found, err := measure(ctx, b, address)
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	return figures, nil
}

func viewYAML(cluster, repository, model, name, in, out, redis, steps string) []byte {
	return fmt.Appendf(nil, `
kafka: %s
models: {repository: %q}
features: {topics: bench.%s, partitions: %d, dead_letters: bench.%s.dlq, store: {redis: {addresses: [%q], prefix: bench-%s, timeout: 1s}}, views: [%s]}
pipelines:
  - {name: %s, input: {topic: %s, map: {id: event_id, text: text}}, steps: [%s], %s dead_letters: %s.dlq}
serving: {http: "off"}
`, cluster, repository, name, partitions, name, redis, name, benchView, name, in, steps, out, name)
}

// viewTopics are those that a service makes for the view of such a configuration.
func viewTopics(name string) []string {
	return []string{"bench." + name + ".item.updates", "bench." + name + ".item.state", "bench." + name + ".dlq"}
}

// aggregating is how many updates a second a view takes, exactly once, from events on: through the topic of updates into that of states; and
// how long it takes to read such states back.
func aggregating(ctx context.Context, b *bench, address string) ([]figure, error) {
	const n, items = 300_000, 100_000
	in := "features.in"
	if err := b.broker.topic(ctx, in); err != nil {
		return nil, err
	}
	events, random := make([][]byte, n), rand.New(rand.NewPCG(1, 1)) //nolint:gosec // a load, not a secret
	kinds := []string{"view", "view", "view", "cart", "purchase"}
	keys := map[int]bool{}
	for i := range events {
		item := random.IntN(items)
		keys[item] = true
		events[i] = fmt.Appendf(nil, `{"event_id":"e%d","item_id":"item-%d","user_id":"user-%d","kind":%q,"value":%d}`,
			i, item, random.IntN(50_000), kinds[random.IntN(len(kinds))], random.IntN(100))
	}
	if err := b.broker.fill(ctx, in, events, n); err != nil {
		return nil, err
	}
	var rates, restores, gains []float64
	for round := range min(b.rounds, 3) {
		name := fmt.Sprintf("features-%d-%d", round, time.Now().UnixMilli())
		if err := b.broker.topic(ctx, name+".dlq"); err != nil {
			return nil, err
		}
		repository, err := constantRepository()
		if err != nil {
			return nil, err
		}
		yaml := viewYAML(b.broker.section, repository, "", name, in, "", address, "{aggregate: {view: item}}")
		began := time.Now()
		running, err := serve(ctx, yaml, nil)
		if err != nil {
			return nil, err
		}
		err = running.untilKept(ctx, "item", n)
		rates = append(rates, n/time.Since(began).Seconds())
		if err = errors.Join(err, running.stop()); err != nil {
			return nil, err
		}
		took := map[int]time.Duration{} // by how many partitions a cycle has
		for i := range 2 {
			cycle := []int{partitions, 1}[(round+i)%2]
			if took[cycle], err = b.restore(ctx, yaml, cycle); err != nil {
				return nil, err
			}
		}
		restores = append(restores, took[partitions].Seconds()/float64(len(keys))*1e6)
		gains = append(gains, took[1].Seconds()/took[partitions].Seconds())
		if err := b.broker.drop(ctx, append(viewTopics(name), name+".dlq")...); err != nil {
			return nil, err
		}
	}
	return []figure{
		{name: "aggregate updates, exactly once", unit: "/s", rounds: rates, note: fmt.Sprintf("%d events of %d items, five features, from the topic of events to committed states", n, items)},
		{name: "restore of a million keys", unit: " s", rounds: restores, note: fmt.Sprintf("read back and decoded, %d partitions", partitions)},
		{name: "restore of a cycle's partitions together ÷ one after the other", rounds: gains},
	}, nil
}

// untilKept waits until a view has kept n updates.
func (r *running) untilKept(ctx context.Context, view string, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("the view did not get through in five minutes"))
	defer cancel()
	for r.service.Kept(view) < int64(n) {
		if err := pause(ctx, time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// restore reads all states of a configuration's view back, as a member does that has been given all partitions, so many of them in a cycle.
func (b *bench) restore(ctx context.Context, yaml []byte, cycle int) (time.Duration, error) {
	c, _, err := config.Parse("bench.yaml", yaml)
	if err != nil {
		return 0, err
	}
	view := features.NewView(c.Features.Views[0])
	topic := consumers.OpenState(c.Kafka.Connection(), c.Kafka, c.Features.StateTopic(view.Name()), slog.New(slog.DiscardHandler))
	defer topic.Close()
	table := features.NewTable(view, c.Features.StateTopic(view.Name()), "0", topic.Restore, slog.New(slog.DiscardHandler), nil)
	rows := make([]*pipeline.Row, partitions)
	for p := range rows {
		update := &pipeline.Record{Partition: int32(p), Key: []byte("one"), Value: []byte(`{"at":1,"of":{}}`)} //nolint:gosec // a few
		row, fault := features.NewDecoder(view).Decode(update)
		if fault != nil {
			return 0, fault
		}
		rows[p] = row
	}
	began := time.Now()
	for some := range slices.Chunk(rows, cycle) {
		if err := table.Run(ctx, some); err != nil {
			return 0, err
		}
		table.Drop()
	}
	return time.Since(began), nil
}

// lookingUp is a cycle's keys in one trip against one trip a key, from the real Redis.
func lookingUp(ctx context.Context, b *bench, address string) ([]figure, error) {
	c, _, err := config.Parse("bench.yaml", viewYAML("127.0.0.1:9092", "models/zoo", "", "lookups", "in", "", address, "{aggregate: {view: item}}"))
	if err != nil {
		return nil, err
	}
	view := features.NewView(c.Features.Views[0])
	store := redis.Open(redisConfig(address))
	defer store.Close()
	const known, asked = 100_000, 4096
	values := view.Defaults()
	entries := make([]features.Entry, known)
	for i := range entries {
		entries[i] = features.Entry{View: view.Name(), Key: "item-" + strconv.Itoa(i), At: time.Now().UnixMilli(), Values: values, Source: "bench", Offset: int64(i)}
	}
	if _, err := store.Put(ctx, entries); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(2, 2)) //nolint:gosec // a load, not a secret
	cycle := func() []string {
		keys := make([]string, asked)
		for i := range keys {
			keys[i] = entries[random.IntN(known)].Key
		}
		return keys
	}
	together := func(int) (float64, error) {
		keys, began := cycle(), time.Now()
		_, err := store.Get(ctx, view, keys)
		return asked / time.Since(began).Seconds(), err
	}
	apart := func(int) (float64, error) {
		keys, began := cycle(), time.Now()
		for i := range keys {
			if _, err := store.Get(ctx, view, keys[i:i+1]); err != nil {
				return 0, err
			}
		}
		return asked / time.Since(began).Seconds(), nil
	}
	ratios, as, bs, err := paired(max(b.rounds, 7), together, apart)
	if err != nil {
		return nil, err
	}
	return []figure{{
		name: "lookups of a cycle ÷ lookups key by key", floor: 1, aim: 10, rounds: ratios,
		note: fmt.Sprintf("%.0f keys/s against %.0f, %d keys of five features at a time, Redis on the same cores", median(as), median(bs), asked),
	}}, nil
}

// lookupShare is the share of cycles that lookups take, beside the model that ships.
func lookupShare(ctx context.Context, b *bench, address string) ([]figure, error) {
	n := b.n
	if n == 0 {
		n = 1200
	}
	texts, source, err := reviews(b.reviews, n)
	if err != nil {
		return nil, err
	}
	in, name := "features.reviews", fmt.Sprintf("lookup-%d", time.Now().UnixMilli())
	if err := b.broker.topic(ctx, in, name+".out", name+".dlq"); err != nil {
		return nil, err
	}
	events := make([][]byte, n)
	for i, text := range texts {
		events[i] = append(fmt.Appendf(nil, `{"item_id":"item-%d",`, i%997), text[1:]...)
	}
	if err := b.broker.fill(ctx, in, events, n); err != nil {
		return nil, err
	}
	yaml := viewYAML(b.broker.section, "models/zoo", "", name, in, fmt.Sprintf("output: {topic: %s.out},", name), address,
		"{predict: {model: sentiment}}, {lookup: {views: [item]}}, {aggregate: {view: item}}")
	running, err := serve(ctx, yaml, nil)
	if err != nil {
		return nil, err
	}
	err = running.until(ctx, n)
	looked, total, gatherErr := running.stageShare("lookup item")
	if err = errors.Join(err, gatherErr, running.stop()); err != nil {
		return nil, err
	}
	return []figure{{
		name: "share of cycles spent on lookups", rounds: []float64{looked / total},
		note: fmt.Sprintf("%.1f ms of %.1f s, %d of %s", looked*1e3, total, n, source),
	}}, b.broker.drop(ctx, append(viewTopics(name), name+".out", name+".dlq")...)
}

// stageShare is the seconds that cycles took in a stage, and in all.
func (r *running) stageShare(stage string) (in, all float64, err error) {
	families, err := r.service.Registry().Gather()
	for _, family := range families {
		for _, m := range family.GetMetric() {
			named, of := "", ""
			for _, label := range m.GetLabel() {
				switch label.GetName() {
				case "stage":
					named = label.GetValue()
				case "pipeline":
					of = label.GetValue()
				}
			}
			if of == config.ViewPipeline("item") {
				continue
			}
			switch family.GetName() {
			case "nearline_pipeline_stage_seconds":
				if named == stage {
					in += m.GetHistogram().GetSampleSum()
				}
			case "nearline_pipeline_cycle_seconds":
				all += m.GetHistogram().GetSampleSum()
			}
		}
	}
	return in, all, err
}

// aging is the time from the call that produces a review to its being in the store, one review at a time, with a constant model.
func aging(ctx context.Context, b *bench, address string) ([]figure, error) {
	in, name := "features.age", fmt.Sprintf("age-%d", time.Now().UnixMilli())
	if err := b.broker.topic(ctx, in, name+".out", name+".dlq"); err != nil {
		return nil, err
	}
	repository, err := constantRepository()
	if err != nil {
		return nil, err
	}
	yaml := viewYAML(b.broker.section, repository, "", name, in, fmt.Sprintf("output: {topic: %s.out},", name), address,
		"{predict: {model: constant}}, {aggregate: {view: item}}")
	c, _, err := config.Parse("bench.yaml", yaml)
	if err != nil {
		return nil, err
	}
	view, store := features.NewView(c.Features.Views[0]), redis.Open(*c.Features.Store.Redis)
	defer store.Close()
	running, err := serve(ctx, yaml, nil)
	if err != nil {
		return nil, err
	}
	defer running.stop()
	writer, err := b.broker.Client(kgo.DefaultProduceTopic(in), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("the reviews did not reach the store in five minutes"))
	defer cancel()
	const first, samples = 60, 300 // the first ones join groups, and restore each partition
	var took []float64
	for i := range first + samples {
		item := fmt.Sprintf("aged-%d", i)
		began := time.Now()
		value := fmt.Appendf(nil, `{"event_id":"r%d","item_id":%q,"user_id":"u","text":"at rest"}`, i, item)
		if err := writer.ProduceSync(ctx, &kgo.Record{Key: []byte(item), Value: value}).FirstErr(); err != nil {
			return nil, err
		}
		for {
			found, err := store.Get(ctx, view, []string{item})
			if err != nil {
				return nil, err
			}
			if found[0] != nil {
				break
			}
			if pause(ctx, time.Millisecond) != nil {
				return nil, context.Cause(ctx)
			}
		}
		if i >= first {
			took = append(took, time.Since(began).Seconds()*1000)
		}
	}
	return []figure{
		{name: "age of a feature in the store, median", unit: " ms", rounds: took, note: "from the call that produces a review, one at a time, constant model"},
		{name: "age of a feature in the store, 99th percentile", unit: " ms", rounds: []float64{percentile(took, 0.99)}},
	}, nil
}
