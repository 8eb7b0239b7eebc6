package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nearline/consumers"
	"nearline/features"
	"nearline/internal/problems"
	"nearline/internal/spelling"
	"nearline/pipeline"
	"nearline/producers"
	"nearline/steps"
)

// planned are keys that the design knows and this version does not, with what to do meanwhile.
var planned = map[string]string{
	"kafka.registry":               "name the schema's file with schema",
	"pipelines[].steps[].features": "the verbs are " + verbs(),
}

// verbs that there are, as a sentence has them.
func verbs() string {
	all := steps.Verbs()
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// maxMany pipelines, and as many views: each has clients of its own. A guess.
const maxMany = 500

// Validate names every problem, each with its key, its value and the remedy.
func (c *Config) Validate() error {
	v := &problems.List{}
	checkMany(v, "pipelines", len(c.Pipelines))
	checkMany(v, "features.views", len(c.Features.Views))
	if err := v.Err(); err != nil {
		return err
	}
	v.Join(c.Kafka.Validate("kafka"))
	v.Join(c.Models.Validate("models"))
	c.validateVersions(v)
	v.Join(c.Features.Validate("features"))
	if len(c.Features.Views) > 0 {
		checkRemembered(v, "features.dead_letters", c.Features.DeadLetters)
	}
	for i, view := range c.Features.Views {
		if view.Source == features.SourceStore && c.Features.Store == (Store{}) {
			v.Add(fmt.Sprintf("features.views[%d].source", i), "is %q: nobody else reaches the memory of a replica; want a store, such as features.store.redis", view.Source)
		}
	}
	c.Features.Store.validate(v, "features.store")
	v.Join(c.Serving.Validate("serving"))
	if len(c.Pipelines) == 0 {
		v.Add("pipelines", "is empty: want at least one, with name, input, steps, output and dead_letters")
	}
	for i := range c.Pipelines {
		c.validatePipeline(v, i)
	}
	c.validateGroups(v)
	c.validateClaims(v)
	c.validateLoops(v)
	return v.Err()
}

// validate that at most one store is named, and what is said of each.
func (s *Store) validate(v *problems.List, path string) {
	var named []string
	note := func(name string, err error) {
		named = append(named, name)
		v.Join(err)
	}
	if s.Redis != nil {
		note("redis", s.Redis.Validate(path+".redis"))
	}
	if s.DynamoDB != nil {
		note("dynamodb", s.DynamoDB.Validate(path+".dynamodb"))
	}
	if s.Bigtable != nil {
		note("bigtable", s.Bigtable.Validate(path+".bigtable"))
	}
	if s.Firestore != nil {
		note("firestore", s.Firestore.Validate(path+".firestore"))
	}
	if len(named) > 1 {
		v.Add(path, "has %s: want one store, in which all views are kept; remove the others", strings.Join(named, " and "))
	}
}

func (c *Config) validatePipeline(v *problems.List, i int) {
	p := &c.Pipelines[i]
	path := fmt.Sprintf("pipelines[%d]", i)
	if p.Start != (consumers.Start{}) && !c.Kafka.Progress() {
		v.Add(path+".start", "is %s: it needs kafka.progress_topic, which keeps where the group began, and which is off: want a topic there, or start: earliest", p.Start)
	}
	switch same := c.first(i, func(o *Pipeline) bool { return o.Name == p.Name }); {
	case !pipeline.LegalName(p.Name):
		v.Add(path+".name", "is %q: want letters, digits, dots, dashes and underscores, such as reviews", p.Name)
	case same >= 0:
		v.Add(path+".name", "is %q: pipelines[%d] has that name, choose another", p.Name, same)
	}
	switch same := c.first(i, func(o *Pipeline) bool { return o.Group == p.Group }); {
	case !pipeline.LegalName(p.Name) && p.Group == groupOf(p.Name):
		// Told above.
	case !pipeline.LegalTopic(p.Group): // groups may be anything, but other tools expect the same
		v.Add(path+".group", "is %q: want letters, digits, dots, dashes and underscores, at most %d", p.Group, pipeline.MaxTopicName)
	case same >= 0 && c.Pipelines[same].Name != p.Name:
		v.Add(path+".group", "is %q: pipelines[%d] has that group, and members with one transactional id fence each other; choose another, or leave it out for %s", p.Group, same, groupOf(p.Name))
	}
	if p.Delivery != pipeline.ExactlyOnce && p.Delivery != pipeline.AtLeastOnce {
		v.Add(path+".delivery", "is %q: want %s or %s", p.Delivery, pipeline.ExactlyOnce, pipeline.AtLeastOnce)
	}
	checkTopic(v, path+".input.topic", p.Input.Topic)
	v.Join(p.Input.Validate(path + ".input"))
	v.Join(steps.Validate(p.Steps, path+".steps", steps.Surroundings{Repository: c.Models.Repository, Features: c.Features.Config, Delivery: p.Delivery}))
	if !p.Resultless() {
		checkTopic(v, path+".output.topic", p.Output.Topic)
	}
	v.Join(p.Output.Validate(path+".output", p.Input.InputConfig))
	// The topics are told of here, under their own keys; what else the producer wants is in output.
	v.Join(producers.Config{
		Topic: "results", DeadLetters: "dead.letters", Headers: p.Output.Headers, MaxRecordBytes: p.Output.MaxRecordBytes,
	}.Validate(path + ".output"))
	checkTopic(v, path+".dead_letters", p.DeadLetters)
	checkRemembered(v, path+".dead_letters", p.DeadLetters)
	if p.DeadLetters != "" && p.DeadLetters == p.Output.Topic {
		v.Add(path+".dead_letters", "is %q: results go there, and their readers expect nothing else; choose another topic, such as %s.dlq", p.DeadLetters, p.Input.Topic)
	}
	// A rebalance waits for the cycle in hand: one that takes longer gets the member thrown out, and its work is lost.
	err, limit := p.Cycle.Validate(path+".cycle"), c.Kafka.RebalanceTimeout/2
	v.Join(err)
	if err == nil && p.Cycle.MaxTime > limit {
		v.Add(path+".cycle.max_time", "is %v: want at most %v, half of kafka.rebalance_timeout, or raise that", p.Cycle.MaxTime, limit)
	}
}

// first is the index of the first pipeline before i that is the same in some respect, or -1.
func (c *Config) first(i int, same func(*Pipeline) bool) int {
	for j := range i {
		if same(&c.Pipelines[j]) {
			return j
		}
	}
	return -1
}

// validateVersions refuses a version of a model that no step has: whoever pins one wants another than the highest to run.
func (c *Config) validateVersions(v *problems.List) {
	var used []string
	for i := range c.Pipelines {
		for _, name := range steps.Models(c.Pipelines[i].Steps) {
			if !slices.Contains(used, name) {
				used = append(used, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Models.Versions)) {
		if !slices.Contains(used, name) {
			v.Add("models.versions."+name, "is %d: no step of a pipeline has that model (%s), so the version would not count%s", c.Models.Versions[name], cmp.Or(strings.Join(used, ", "), "none has any"), spelling.DidYouMean(name, used))
		}
	}
}

// validateLoops finds pipelines that would read what they caused themselves, for ever.
func (c *Config) validateLoops(v *problems.List) {
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		if p.Input.Topic == "" {
			continue
		}
		for _, out := range c.written(p) {
			if out.topic == p.Input.Topic {
				v.Add(fmt.Sprintf("pipelines[%d].%s", i, out.key), "%sis %q: the pipeline reads that topic, so each record would cause the next for ever; choose another", out.whose, out.topic)
				continue
			}
			// Each loop is told once, by the first pipeline in it.
			if way := c.way(out.topic, p.Input.Topic, map[string]bool{}); way != nil && i < slices.Min(way) {
				v.Add(fmt.Sprintf("pipelines[%d].%s", i, out.key), "%sis %q: through %s it comes back to %q, so each record would cause the next for ever; break the loop", out.whose, out.topic, c.names(way), p.Input.Topic)
			}
		}
	}
}

// written are the topics that a pipeline writes to, those of the views that it feeds among them, each with the key that says so.
func (c *Config) written(p *Pipeline) []written {
	topics := []written{{"output.topic", "", p.Output.Topic}, {"dead_letters", "", p.DeadLetters}}
	for i, step := range p.Steps {
		if step.Aggregate != nil {
			view := step.Aggregate.View
			key, its := fmt.Sprintf("steps[%d].aggregate.view", i), fmt.Sprintf("is %q, whose topic ", view)
			topics = append(topics, written{key, its, c.Features.UpdatesTopic(view)}, written{key, its, c.Features.StateTopic(view)},
				written{key, fmt.Sprintf("is %q, whose dead letters' topic ", view), c.Features.DeadLetters})
		}
	}
	return topics
}

// written is a topic that a pipeline writes to.
type written struct {
	key   string // that says so
	whose string // what the topic is of, as a message about the key begins; "" is the value of the key itself
	topic string
}

// way is the pipelines that lead from one topic to another, nil when none do.
func (c *Config) way(from, to string, visited map[string]bool) []int {
	if from == "" || visited[from] {
		return nil
	}
	visited[from] = true
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		if p.Input.Topic != from {
			continue
		}
		for _, out := range c.written(p) {
			if out.topic == to {
				return []int{i}
			}
			if rest := c.way(out.topic, to, visited); rest != nil {
				return append([]int{i}, rest...)
			}
		}
	}
	return nil
}

// names of pipelines, for an error.
func (c *Config) names(indices []int) string {
	names := make([]string, len(indices))
	for i, index := range indices {
		names[i] = c.Pipelines[index].Name
	}
	return strings.Join(names, " and ")
}

func checkMany(v *problems.List, key string, n int) {
	if n > maxMany {
		v.Add(key, "has %d elements: want at most %d, and another process for the rest", n, maxMany)
	}
}

func checkTopic(v *problems.List, path, topic string) {
	switch {
	case topic == "":
		v.Add(path, "is missing: want the name of a topic")
	case !pipeline.LegalTopic(topic) || topic == "." || topic == "..":
		v.Add(path, "is %q: want a topic as Kafka allows it: letters, digits, dots, dashes and underscores, at most %d", topic, pipeline.MaxTopicName)
	case slices.Contains(brokersOwn, topic):
		v.Add(path, "is %q: brokers keep their own records there; choose another", topic)
	}
}

// brokersOwn are topics that brokers write for themselves.
var brokersOwn = []string{"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}

// checkRemembered leaves room for the name of the topic that remembers replays of dead letters.
func checkRemembered(v *problems.List, path, topic string) {
	if slices.Contains(brokersOwn, topic) && path == "features.dead_letters" { // of others, checkTopic tells
		checkTopic(v, path, topic)
	}
	if most := pipeline.MaxTopicName - len(producers.ReplayedSuffix); len(topic) > most && pipeline.LegalTopic(topic) {
		v.Add(path, "has %d characters: want at most %d, since replays are remembered in a topic called like it and %s", len(topic), most, producers.ReplayedSuffix)
	}
}
