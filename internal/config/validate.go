package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"nearline/consumers"
	"nearline/features"
	"nearline/pipeline"
	"nearline/producers"
)

// planned are keys that the design knows and this version does not, with what to do meanwhile.
var planned = map[string]string{
	"kafka.tls":                    "use a listener without TLS",
	"kafka.sasl":                   "use a listener without authentication",
	"kafka.registry":               "name the schema's file with schema",
	"pipelines[].steps[].features": "the verbs are predict, rank, lookup and aggregate",
}

var (
	// Kafka's own rule for topics; groups may be anything, but other tools expect the same.
	legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)
	legalName  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)
)

// maxMany pipelines, and as many views: each has clients of its own. A guess.
const maxMany = 500

// Validate names every problem, each with its key, its value and the remedy.
func (c *Config) Validate() error {
	v := &validation{}
	v.many("pipelines", len(c.Pipelines))
	v.many("features.views", len(c.Features.Views))
	if len(v.errs) > 0 {
		return errors.Join(v.errs...)
	}
	v.join(c.Kafka.Validate("kafka"))
	v.join(c.Models.Validate("models"))
	c.validateVersions(v)
	v.join(c.Features.Validate("features"))
	if len(c.Features.Views) > 0 {
		v.remembered("features.dead_letters", c.Features.DeadLetters)
	}
	for i, view := range c.Features.Views {
		if view.Source == features.SourceStore && c.Features.Store == (Store{}) {
			v.add("features.views[%d].source is %q: nobody else reaches the memory of a replica; want a store, such as features.store.redis", i, view.Source)
		}
	}
	c.Features.Store.validate(v, "features.store")
	v.join(c.Serving.ServerConfig.Validate("serving"))
	v.join(c.Serving.Config.Validate("serving"))
	if len(c.Pipelines) == 0 {
		v.add("pipelines is empty: want at least one, with name, input, steps, output and dead_letters")
	}
	for i := range c.Pipelines {
		c.validatePipeline(v, i)
	}
	c.validateGroups(v)
	c.validateClaims(v)
	c.validateLoops(v)
	return errors.Join(v.errs...)
}

// validate that at most one store is named, and what is said of each.
func (s *Store) validate(v *validation, path string) {
	var named []string
	add := func(name string, err error) {
		named = append(named, name)
		v.join(err)
	}
	if s.Redis != nil {
		add("redis", s.Redis.Validate(path+".redis"))
	}
	if s.DynamoDB != nil {
		add("dynamodb", s.DynamoDB.Validate(path+".dynamodb"))
	}
	if s.Bigtable != nil {
		add("bigtable", s.Bigtable.Validate(path+".bigtable"))
	}
	if s.Firestore != nil {
		add("firestore", s.Firestore.Validate(path+".firestore"))
	}
	if len(named) > 1 {
		v.add("%s has %s: want one store, in which all views are kept; remove the others", path, strings.Join(named, " and "))
	}
}

func (c *Config) validatePipeline(v *validation, i int) {
	p := &c.Pipelines[i]
	path := fmt.Sprintf("pipelines[%d]", i)
	if p.Start != (consumers.Start{}) && !c.Kafka.Progress() {
		v.add("%s.start is %s: it needs kafka.progress_topic, which keeps where the group began, and which is off: want a topic there, or start: earliest", path, p.Start)
	}
	switch same := c.first(i, func(o *Pipeline) bool { return o.Name == p.Name }); {
	case !legalName.MatchString(p.Name):
		v.add("%s.name is %q: want letters, digits, dots, dashes and underscores, such as reviews", path, p.Name)
	case same >= 0:
		v.add("%s.name is %q: pipelines[%d] has that name, choose another", path, p.Name, same)
	}
	switch same := c.first(i, func(o *Pipeline) bool { return o.Group == p.Group }); {
	case !legalName.MatchString(p.Name) && p.Group == groupOf(p.Name):
		// Told above.
	case !legalTopic.MatchString(p.Group):
		v.add("%s.group is %q: want letters, digits, dots, dashes and underscores, at most 249", path, p.Group)
	case same >= 0 && c.Pipelines[same].Name != p.Name:
		v.add("%s.group is %q: pipelines[%d] has that group, and members with one transactional id fence each other; "+
			"choose another, or leave it out for %s", path, p.Group, same, groupOf(p.Name))
	}
	if p.Delivery != pipeline.ExactlyOnce && p.Delivery != pipeline.AtLeastOnce {
		v.add("%s.delivery is %q: want %s or %s", path, p.Delivery, pipeline.ExactlyOnce, pipeline.AtLeastOnce)
	}
	v.topic(path+".input.topic", p.Input.Topic)
	v.join(p.Input.Validate(path + ".input"))
	c.validateSteps(v, path, p)
	if !p.Resultless() {
		v.topic(path+".output.topic", p.Output.Topic)
	}
	v.join(p.Output.Validate(path+".output", p.Input.InputConfig))
	// The topics are told of here, under their own keys; what else the producer wants is in output.
	v.join(producers.Config{
		Topic: "results", DeadLetters: "dead.letters", Headers: p.Output.Headers, MaxRecordBytes: p.Output.MaxRecordBytes,
	}.Validate(path + ".output"))
	v.topic(path+".dead_letters", p.DeadLetters)
	v.remembered(path+".dead_letters", p.DeadLetters)
	if p.DeadLetters != "" && p.DeadLetters == p.Output.Topic {
		v.add("%s.dead_letters is %q: results go there, and their readers expect nothing else; choose another topic, such as %s.dlq",
			path, p.DeadLetters, p.Input.Topic)
	}
	// A rebalance waits for the cycle in hand: one that takes longer gets the member thrown out, and its work is lost.
	err, limit := p.Cycle.Validate(path+".cycle"), c.Kafka.RebalanceTimeout/2
	v.join(err)
	if err == nil && p.Cycle.MaxTime > limit {
		v.add("%s.cycle.max_time is %v: want at most %v, half of kafka.rebalance_timeout, or raise that",
			path, p.Cycle.MaxTime, limit)
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

func (c *Config) validateSteps(v *validation, path string, p *Pipeline) {
	if len(p.Steps) == 0 {
		v.add("%s.steps is empty: want at least one, such as predict: {model: sentiment}", path)
	}
	predicted := map[string]string{} // columns under the name that the model gives them, by model and column
	for i, step := range p.Steps {
		path := fmt.Sprintf("%s.steps[%d]", path, i)
		var verbs []string
		for _, verb := range []struct {
			name string
			is   bool
		}{{"predict", step.Predict != nil}, {"rank", step.Rank != nil}, {"lookup", step.Lookup != nil}, {"aggregate", step.Aggregate != nil}} {
			if verb.is {
				verbs = append(verbs, verb.name)
			}
		}
		switch {
		case len(verbs) > 1:
			v.add("%s has %s: want one verb a step, make %d of it", path, strings.Join(verbs, " and "), len(verbs))
			continue
		case step.Lookup != nil:
			c.validateLookup(v, path+".lookup", step.Lookup)
			continue
		case step.Rank != nil:
			c.validateRank(v, path+".rank", step.Rank)
			continue
		case step.Aggregate != nil:
			c.validateAggregate(v, path+".aggregate", p, i)
			continue
		case step.Predict == nil:
			v.add("%s is empty: want one verb, such as predict: {model: sentiment}", path)
			continue
		}
		model := step.Predict.Model
		if !legalName.MatchString(model) {
			v.add("%s.predict.model is %q: want the name of a folder in models.repository (%s), such as sentiment",
				path, model, c.Models.Repository)
			continue
		}
		if earlier, twice := predicted[model]; twice && len(step.Predict.As) == 0 {
			v.add("%s.predict.model is %q: %s has it already, and results cannot have a column twice; "+
				"remove it, or rename its columns with as", path, model, earlier)
		}
		predicted[model] = path
		for _, column := range slices.Sorted(maps.Keys(step.Predict.Inputs)) {
			v.join(step.Predict.Inputs[column].Validate(fmt.Sprintf("%s.predict.inputs.%s", path, column)))
		}
		names := map[string]string{}
		for _, column := range slices.Sorted(maps.Keys(step.Predict.As)) {
			as := step.Predict.As[column]
			switch other, twice := names[as]; {
			case as == "":
				v.add("%s.predict.as.%s is empty: want the column's name in the result", path, column)
			case twice:
				v.add("%s.predict.as.%s is %q: %s has that name already, choose another", path, column, as, other)
			}
			names[as] = column
		}
	}
}

func (c *Config) validateRank(v *validation, path string, r *Rank) {
	if !legalName.MatchString(r.Model) {
		v.add("%s.model is %q: want the name of a folder in models.repository (%s), such as recommender", path, r.Model, c.Models.Repository)
	}
	if r.Candidates == "" || slices.Contains(strings.Split(r.Candidates, "."), "") {
		v.add("%s.candidates is %q: want the path of a list of ids, such as candidates", path, r.Candidates)
	}
	for key, list := range map[string]*StoredList{"otherwise": r.Otherwise, "history": r.History} {
		if list == nil {
			continue
		}
		view := c.Features.View(list.View)
		if list.Key != "" && slices.Contains(strings.Split(list.Key, "."), "") {
			v.add("%s.%s.key is %q: want the path of a field, such as meta.user", path, key, list.Key)
		}
		switch {
		case view == nil:
			v.add("%s.%s.view is %q: want %s", path, key, list.View, c.oneOfViews(list.View))
		case !slices.ContainsFunc(view.Fields, func(f features.FieldConfig) bool {
			return f.Name == list.Field && (f.Last != nil || f.Type == features.TypeTexts)
		}):
			v.add("%s.%s.field is %q: want a field of view %s that is a list of texts (last, or type: texts)%s", path, key, list.Field, list.View,
				DidYouMean(list.Field, fieldNames(view)))
		}
	}
	if r.Items != "" && c.Features.View(r.Items) == nil {
		v.add("%s.items is %q: leave it out, or want %s", path, r.Items, c.oneOfViews(r.Items))
	}
	for _, column := range slices.Sorted(maps.Keys(r.Inputs)) {
		v.join(r.Inputs[column].Validate(fmt.Sprintf("%s.inputs.%s", path, column)))
	}
	if r.As == "" {
		v.add("%s.as is empty: want the column's name in the result, such as ranking", path)
	}
	if r.Top < 0 || r.Top > 1_000_000 {
		v.add("%s.top is %d: want how many candidates a result has, at most 1000000, or 0 for all", path, r.Top)
	}
}

func (c *Config) validateLookup(v *validation, path string, l *Lookup) {
	if len(l.Views) == 0 {
		v.add("%s.views is empty: want at least %s", path, c.oneOfViews(""))
	}
	names := map[string]string{}
	for i, looked := range l.Views {
		path := fmt.Sprintf("%s.views[%d]", path, i)
		view := c.Features.View(looked.View)
		if view == nil {
			v.add("%s is %q: want %s", path, looked.View, c.oneOfViews(looked.View))
		}
		for j, field := range looked.Fields {
			if names := fieldNames(view); view != nil && !slices.Contains(names, field) {
				v.add("%s.fields[%d] is %q: want a field of view %s (%s)%s", path, j, field, view.Name, strings.Join(names, ", "), DidYouMean(field, names))
			}
		}
		column := cmp.Or(looked.As, looked.View)
		if other, twice := names[column]; twice {
			v.add("%s adds %q to results: %s does so already, name one of them otherwise with as", path, column, other)
		}
		names[column] = path
		if looked.Key != "" && slices.Contains(strings.Split(looked.Key, "."), "") {
			v.add("%s.key is %q: want the path of a field, such as meta.item", path, looked.Key)
		}
	}
}

// oneOfViews says which views there are, and which of them was probably meant.
func (c *Config) oneOfViews(name string) string {
	var known []string
	for _, view := range c.Features.Views {
		known = append(known, view.Name)
	}
	return fmt.Sprintf("one of features.views (%s)%s", cmp.Or(strings.Join(known, ", "), "there is none yet"), DidYouMean(name, known))
}

func fieldNames(view *features.ViewConfig) (names []string) {
	if view != nil {
		for _, field := range view.Fields {
			names = append(names, field.Name)
		}
	}
	return names
}

func (c *Config) validateAggregate(v *validation, path string, p *Pipeline, i int) {
	a := p.Steps[i].Aggregate
	if c.Features.View(a.View) == nil {
		v.add("%s.view is %q: want %s", path, a.View, c.oneOfViews(a.View))
	}
	if view := c.Features.View(a.View); view != nil && view.Source == features.SourceStore {
		v.add("%s.view is %q: others fill that view; want one without source: %s", path, a.View, features.SourceStore)
	}
	for j, earlier := range p.Steps[:i] {
		if earlier.Aggregate != nil && earlier.Aggregate.View == a.View {
			v.add("%s.view is %q: steps[%d] has it already, and would count each event twice; remove one", path, a.View, j)
		}
	}
	if p.Delivery != pipeline.ExactlyOnce {
		v.add("%s needs delivery: exactly_once: with %s an event may count twice", path, p.Delivery)
	}
	for _, from := range slices.Sorted(maps.Keys(a.Map)) {
		if view := c.Features.View(a.View); view != nil && !slices.Contains(view.Paths(), from) {
			v.add("%s.map.%s: view %s has no such path, want one of %s%s", path, from, view.Name, strings.Join(view.Paths(), ", "), DidYouMean(from, view.Paths()))
		}
		if to := a.Map[from]; to == "" || slices.Contains(strings.Split(to, "."), "") {
			v.add("%s.map.%s is %q: want the path of a field, such as product.id", path, from, to)
		}
	}
}

// validateVersions refuses a version of a model that no step has: whoever pins one wants another than the highest to run.
func (c *Config) validateVersions(v *validation) {
	var used []string
	for i := range c.Pipelines {
		for _, step := range c.Pipelines[i].Steps {
			if name := step.Model(); name != "" && !slices.Contains(used, name) {
				used = append(used, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Models.Versions)) {
		if !slices.Contains(used, name) {
			v.add("models.versions.%s is %d: no step of a pipeline has that model (%s), so the version would not count%s",
				name, c.Models.Versions[name], cmp.Or(strings.Join(used, ", "), "none has any"), DidYouMean(name, used))
		}
	}
}

// validateLoops finds pipelines that would read what they caused themselves, for ever.
func (c *Config) validateLoops(v *validation) {
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		if p.Input.Topic == "" {
			continue
		}
		for _, out := range c.written(p) {
			if out.topic == p.Input.Topic {
				v.add("pipelines[%d].%s is %q: the pipeline reads that topic, so each record would cause the next for ever; "+
					"choose another", i, out.key, out.topic)
				continue
			}
			// Each loop is told once, by the first pipeline in it.
			if way := c.way(out.topic, p.Input.Topic, map[string]bool{}); way != nil && i < slices.Min(way) {
				v.add("pipelines[%d].%s is %q: through %s it comes back to %q, so each record would cause the next for ever; "+
					"break the loop", i, out.key, out.topic, c.names(way), p.Input.Topic)
			}
		}
	}
}

// written are the topics that a pipeline writes to, those of the views that it feeds among them, each with the key that says so.
func (c *Config) written(p *Pipeline) []written {
	topics := []written{{"output.topic", p.Output.Topic}, {"dead_letters", p.DeadLetters}}
	for i, step := range p.Steps {
		if step.Aggregate != nil {
			key := fmt.Sprintf("steps[%d].aggregate.view is %q, whose topic", i, step.Aggregate.View)
			topics = append(topics, written{key, c.Features.UpdatesTopic(step.Aggregate.View)}, written{key, c.Features.StateTopic(step.Aggregate.View)},
				written{fmt.Sprintf("steps[%d].aggregate.view is %q, whose dead letters' topic", i, step.Aggregate.View), c.Features.DeadLetters})
		}
	}
	return topics
}

type written struct{ key, topic string }

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

type validation struct{ errs []error }

func (v *validation) add(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validation) many(key string, n int) {
	if n > maxMany {
		v.add("%s has %d elements: want at most %d, and another process for the rest", key, n, maxMany)
	}
}

func (v *validation) join(err error) { v.errs = append(v.errs, err) }

func (v *validation) topic(path, topic string) {
	switch {
	case topic == "":
		v.add("%s is missing: want the name of a topic", path)
	case !legalTopic.MatchString(topic) || topic == "." || topic == "..":
		v.add("%s is %q: want a topic as Kafka allows it: letters, digits, dots, dashes and underscores, at most 249", path, topic)
	case slices.Contains(brokersOwn, topic):
		v.add("%s is %q: brokers keep their own records there; choose another", path, topic)
	}
}

// brokersOwn are topics that brokers write for themselves.
var brokersOwn = []string{"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}

// remembered leaves room for the name of the topic that remembers replays of dead letters.
func (v *validation) remembered(path, topic string) {
	if slices.Contains(brokersOwn, topic) && path == "features.dead_letters" { // of others, topic tells
		v.topic(path, topic)
	}
	if most := 249 - len(replaysSuffix); len(topic) > most && legalTopic.MatchString(topic) {
		v.add("%s has %d characters: want at most %d, since replays are remembered in a topic called like it and %s", path, len(topic), most, replaysSuffix)
	}
}
