package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/features"
	"nearline/models"
)

// rankUsers and the items of the model that ships are what is known when rankings are asked for.
const (
	rankUsers   = 2000
	rankHistory = 20
)

// byDefault, and soon, is what was looked up of use without asking the store.
var byDefault, soon = features.DefaultLookup().FreshFor, 100 * time.Millisecond

// ranking is requests for rankings, end to end and exactly once, against the bare runtime on as many candidates; lists that are padded against ours; and how long
// it takes until a review has changed a ranking. With the real Redis, which every candidate is looked up in.
func ranking(ctx context.Context, b *bench) (_ []figure, err error) {
	address, end, err := b.redisServer(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	items, err := rankItems()
	if err != nil {
		return nil, err
	}
	c := models.DefaultConfig()
	model, err := models.Load(ctx, c, "recommender", c.NewDevice(), models.NewMetrics(nil))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, model.Close(ctx)) }()
	name := fmt.Sprintf("ranking-%d", time.Now().UnixMilli())
	if err := b.learn(ctx, name, address, items); err != nil {
		return nil, err
	}
	var figures []figure
	for _, of := range []struct{ candidates, top int }{{100, 0}, {1000, 0}, {1000, 100}} {
		found, err := b.rankings(ctx, name, address, model, items, of.candidates, of.top)
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	packed, err := packing(b, model, items)
	if err != nil {
		return nil, err
	}
	changes, err := b.changing(ctx, name, address, items)
	return append(append(figures, packed), changes...), err
}

// rankItems are the ids that the model knows.
func rankItems() (items []string, err error) {
	data, err := os.ReadFile(filepath.Join("models", "zoo", "recommender", "1", "items.txt"))
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		items = append(items, lines.Text())
	}
	return items, err
}

// rankYAML has the views that rankings read, and a pipeline of one of the two kinds. Lookups may take as long as a first look at everything takes on a
// machine that has brokers on it, too. What was looked up is used for as long as by default, or for as long as is said.
func rankYAML(cluster, name, redis, pipelineOf string, fresh time.Duration) []byte {
	return fmt.Appendf(nil, `
kafka: %s
models: {repository: models/zoo}
features:
  topics: bench.%s
  partitions: %d
  dead_letters: bench.%s.dlq
  lookup: {deadline: 5s, fresh_for: %v}
  store: {redis: {addresses: [%q], prefix: bench-%s, timeout: 5s}}
  views:
    - {name: item, key: item_id, fields: [{name: sentiment, default: 0.68, mean: {of: mood, half_life: 1h}}, {name: popularity, count: {of: watched}}]}
    - {name: user, key: user_id, fields: [{name: items, last: {of: item_id, n: 50}}]}
pipelines:
  - %s
serving: {http: "off"}
`, cluster, name, partitions, name, fresh, redis, name, pipelineOf)
}

func learnYAML(name string) string {
	return fmt.Sprintf(`{name: %s.learn, input: {topic: %s.events, map: {id: event_id}}, steps: [{aggregate: {view: item}}, {aggregate: {view: user}}], dead_letters: %s.dlq}`, name, name, name)
}

func ranksYAML(name, in, out string, top int) string {
	return fmt.Sprintf(`{name: %s, input: {topic: %s, map: {id: request_id}}, output: {topic: %s, copy: [user_id]}, dead_letters: %s.dlq,
     steps: [{rank: {model: recommender, top: %d, history: {view: user, field: items}, items: item,
       inputs: {popularity: item.popularity, sentiment: item.sentiment, helpfulness: {of: absent}}}}]}`, out, in, out, strings.SplitN(out, ".", 2)[0], top)
}

// learn what is known of items and people, into the Redis.
func (b *bench) learn(ctx context.Context, name, address string, items []string) error {
	if err := b.broker.topic(ctx, name+".events", name+".dlq"); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(3, 3)) //nolint:gosec // a load, not a secret
	events := make([][]byte, 0, rankUsers*rankHistory)
	for user := range rankUsers {
		for n := range rankHistory {
			item := items[(user*rankHistory+n)%len(items)] // each is known of
			events = append(events, fmt.Appendf(nil, `{"event_id":"e%d-%d","user_id":"user-%d","item_id":%q,"watched":1,"mood":%.2f}`, user, n, user, item, random.Float64()))
		}
	}
	if err := b.broker.fill(ctx, name+".events", events, len(events)); err != nil {
		return err
	}
	running, err := serve(ctx, rankYAML(b.broker.section, name, address, learnYAML(name), byDefault), nil)
	if err != nil {
		return err
	}
	err = errors.Join(running.untilKept(ctx, "item", len(events)), running.untilKept(ctx, "user", len(events)))
	if err == nil {
		err = pause(ctx, 2*time.Second) // for what is kept to be stored
	}
	return errors.Join(err, running.stop())
}

// rankings of so many candidates each, of which so many are answered; all with 0.
func (b *bench) rankings(ctx context.Context, name, address string, model *models.Model, items []string, candidates, top int) ([]figure, error) {
	const different = 500 // requests: what a benchmark holds itself, the collector has to look through
	n := 20_000
	if candidates > 500 {
		n = 8000
	}
	in := fmt.Sprintf("%s.requests.%d.%d", name, candidates, top)
	if err := b.broker.topic(ctx, in); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(4, uint64(candidates))) //nolint:gosec // a load, not a secret
	requests, tables := make([][]byte, different), make([]models.Table, different)
	for i := range requests {
		list := choose(random, items, candidates)
		user := random.IntN(rankUsers)
		value, err := json.Marshal(map[string]any{"request_id": fmt.Sprint("q", i), "user_id": fmt.Sprint("user-", user), "candidates": list})
		if err != nil {
			return nil, err
		}
		requests[i], tables[i] = value, tableOf(random, choose(random, items, rankHistory), list)
	}
	if err := b.broker.fill(ctx, in, requests, n); err != nil {
		return nil, err
	}
	bare, err := newBare(model, inputsOf(tables))
	if err != nil {
		return nil, err
	}
	var coresOurs, coresBare []usage
	ours := func(round int) (rate float64, err error) {
		out := fmt.Sprintf("%s.out.%d.%d.%d", name, candidates, top, round)
		if err := b.broker.topic(ctx, out); err != nil {
			return 0, err
		}
		used, err := watchCores(func() error {
			running, err := serve(ctx, rankYAML(b.broker.section, name, address, ranksYAML(name, in, out, top), byDefault), nil)
			if err != nil {
				return err
			}
			err = running.until(ctx, n)
			rate = float64(n) / time.Since(running.began).Seconds()
			return errors.Join(err, running.stop())
		})
		coresOurs = append(coresOurs, used)
		return rate, errors.Join(err, b.broker.drop(ctx, out))
	}
	together, err := packedBest(bare)
	if err != nil {
		return nil, err
	}
	runtime := bareRate(n, &coresBare, func() error {
		for range n / different {
			if err := bare.run(together); err != nil {
				return err
			}
		}
		return nil
	})
	ratios, as, bs, err := paired(b.rounds, ours, runtime)
	if err != nil {
		return nil, err
	}
	of := fmt.Sprint("rankings of ", candidates)
	if top > 0 {
		of += fmt.Sprintf(", the first %d answered", top)
	}
	return []figure{
		{
			name: of + ", end to end ÷ the bare runtime", floor: 0.93, aim: 0.97, rounds: ratios,
			note: fmt.Sprintf("%.0f requests/s against %.0f, %d lists a run, its fastest; %d requests, each candidate looked up, of Redis or as it was in the last %v", median(as), median(bs), together, n, byDefault),
		},
		{
			name: "the same, for the cores left by others", floor: 0.93, aim: 0.97, rounds: perCore(ratios, coresOurs, coresBare),
			note: describeCores(coresOurs, coresBare, n),
		},
	}, nil
}

// packedBest is how many lists a run the bare runtime is fastest with.
func packedBest(bare *bareRuntime) (best int, err error) {
	least := time.Duration(math.MaxInt64)
	for _, lists := range []int{1, 2, 4, 8, 16} {
		for range 2 { // the first finds its memory
			began := time.Now()
			if err := bare.run(lists); err != nil {
				return 0, err
			}
			if took := time.Since(began); took < least {
				best, least = lists, took
			}
		}
	}
	return best, nil
}

// choose n different items.
func choose(random *rand.Rand, items []string, n int) []string {
	list := make([]string, n)
	for i, at := range random.Perm(len(items))[:n] {
		list[i] = items[at]
	}
	return list
}

func tableOf(random *rand.Rand, history, list []string) models.Table {
	table := models.Table{Rows: len(list), List: true, Items: list, History: history}
	for range list {
		table.Numbers = append(table.Numbers, float64(random.IntN(50)), random.Float64(), random.Float64())
	}
	return table
}

// packing is ragged lists, eight in a run, one after the other against padded to the longest; the graph alone.
func packing(b *bench, model *models.Model, items []string) (figure, error) {
	random := rand.New(rand.NewPCG(5, 5)) //nolint:gosec // a load, not a secret
	tables, all := make([]models.Table, 800), 0
	for i := range tables {
		n := 1 + int(1000*random.Float64()*random.Float64()) // many short ones, and long ones among them
		tables[i] = tableOf(random, choose(random, items, rankHistory), choose(random, items, n))
		all += n
	}
	const together = 8
	ragged, err := newBare(model, inputsOf(tables))
	if err != nil {
		return figure{}, err
	}
	padded, err := newBare(model, inputsOf(paddedTables(tables, together)))
	if err != nil {
		return figure{}, err
	}
	run := func(bare *bareRuntime) measurement {
		return func(int) (float64, error) {
			began := time.Now()
			err := bare.run(together)
			return float64(all) / time.Since(began).Seconds(), err
		}
	}
	ratios, as, bs, err := paired(max(b.rounds, 7), run(ragged), run(padded))
	return figure{
		name: "ragged lists packed ÷ padded to the longest", floor: 1, rounds: ratios,
		note: fmt.Sprintf("%.0f candidates/s against %.0f, eight lists of 1 to 1,000 in a run, the graph alone", median(as), median(bs)),
	}, err
}

// changing is the time from the call that produces a review to a result in which it has changed a score: somebody asks for the ranking every 10 ms meanwhile.
func (b *bench) changing(ctx context.Context, name, address string, items []string) ([]figure, error) {
	in, out := name+".ask", name+".answers"
	if err := b.broker.topic(ctx, in, out); err != nil {
		return nil, err
	}
	yaml := rankYAML(b.broker.section, name, address, learnYAML(name)+"\n  - "+ranksYAML(name, in, out, 0), soon)
	running, err := serve(ctx, yaml, nil)
	if err != nil {
		return nil, err
	}
	defer running.stop()
	client, err := b.broker.Client(kgo.ConsumeTopics(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("rankings did not change in five minutes"))
	defer cancel()
	asking, stop := context.WithCancel(ctx)
	defer stop()
	item := items[0]
	go func() {
		for n := 0; pause(asking, 10*time.Millisecond) == nil; n++ {
			request := fmt.Appendf(nil, `{"request_id":"a%d","user_id":"user-1","candidates":[%q]}`, n, item)
			client.Produce(asking, &kgo.Record{Topic: in, Key: []byte("user-1"), Value: request}, nil)
		}
	}()
	score := func() (float64, error) { // of the next result
		for {
			fetches := client.PollFetches(ctx)
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			records := fetches.Records()
			if len(records) == 0 {
				continue
			}
			var result struct{ Ranking []struct{ Score float64 } }
			err := json.Unmarshal(records[len(records)-1].Value, &result)
			if err == nil && len(result.Ranking) == 1 {
				return result.Ranking[0].Score, nil
			}
		}
	}
	last, err := score()
	if err != nil {
		return nil, err
	}
	const first, samples = 10, 100 // the first ones find groups and partitions
	var took []float64
	for i := range first + samples {
		began := time.Now()
		review := fmt.Appendf(nil, `{"event_id":"c%d","user_id":"x%d","item_id":%q,"mood":%d}`, i, i, item, i%2)
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: name + ".events", Key: []byte(item), Value: review}).FirstErr(); err != nil {
			return nil, err
		}
		for now := last; now == last; {
			if now, err = score(); err != nil {
				return nil, err
			}
			if now != last {
				last = now
				break
			}
		}
		if i >= first {
			took = append(took, time.Since(began).Seconds()*1000)
		}
	}
	return []figure{
		{name: "age of a changed ranking, median", unit: " ms", rounds: took, note: fmt.Sprintf("from the call that produces a review to a result that it changed; features used for %v without asking the store", soon)},
		{name: "age of a changed ranking, 99th percentile", unit: " ms", rounds: []float64{percentile(took, 0.99)}},
	}, nil
}
