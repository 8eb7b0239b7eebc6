package config

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"nearline/consumers"
	"nearline/features"
	"nearline/internal/problems"
	"nearline/internal/spelling"
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

var legalName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)

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
	v.Join(c.Serving.ServerConfig.Validate("serving"))
	v.Join(c.Serving.Config.Validate("serving"))
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
	case !legalName.MatchString(p.Name):
		v.Add(path+".name", "is %q: want letters, digits, dots, dashes and underscores, such as reviews", p.Name)
	case same >= 0:
		v.Add(path+".name", "is %q: pipelines[%d] has that name, choose another", p.Name, same)
	}
	switch same := c.first(i, func(o *Pipeline) bool { return o.Group == p.Group }); {
	case !legalName.MatchString(p.Name) && p.Group == groupOf(p.Name):
		// Told above.
	case !pipeline.LegalTopic(p.Group): // groups may be anything, but other tools expect the same
		v.Add(path+".group", "is %q: want letters, digits, dots, dashes and underscores, at most %d", p.Group, pipeline.MaxTopicName)
	case same >= 0 && c.Pipelines[same].Name != p.Name:
		v.Add(path+".group", "is %q: pipelines[%d] has that group, and members with one transactional id fence each other; "+"choose another, or leave it out for %s", p.Group, same, groupOf(p.Name))
	}
	if p.Delivery != pipeline.ExactlyOnce && p.Delivery != pipeline.AtLeastOnce {
		v.Add(path+".delivery", "is %q: want %s or %s", p.Delivery, pipeline.ExactlyOnce, pipeline.AtLeastOnce)
	}
	checkTopic(v, path+".input.topic", p.Input.Topic)
	v.Join(p.Input.Validate(path + ".input"))
	c.validateSteps(v, path, p)
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

func (c *Config) validateSteps(v *problems.List, path string, p *Pipeline) {
	if len(p.Steps) == 0 {
		v.Add(path+".steps", "is empty: want at least one, such as predict: {model: sentiment}")
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
			v.Add(path, "has %s: want one verb a step, make %d of it", strings.Join(verbs, " and "), len(verbs))
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
			v.Add(path, "is empty: want one verb, such as predict: {model: sentiment}")
			continue
		}
		model := step.Predict.Model
		if !legalName.MatchString(model) {
			v.Add(path+".predict.model", "is %q: want the name of a folder in models.repository (%s), such as sentiment", model, c.Models.Repository)
			continue
		}
		if earlier, twice := predicted[model]; twice && len(step.Predict.As) == 0 {
			v.Add(path+".predict.model", "is %q: %s has it already, and results cannot have a column twice; "+"remove it, or rename its columns with as", model, earlier)
		}
		predicted[model] = path
		for _, column := range slices.Sorted(maps.Keys(step.Predict.Inputs)) {
			v.Join(step.Predict.Inputs[column].Validate(fmt.Sprintf("%s.predict.inputs.%s", path, column)))
		}
		names := map[string]string{}
		for _, column := range slices.Sorted(maps.Keys(step.Predict.As)) {
			as := step.Predict.As[column]
			switch other, twice := names[as]; {
			case as == "":
				v.Add(path+".predict.as."+column, "is empty: want the column's name in the result")
			case twice:
				v.Add(path+".predict.as."+column, "is %q: %s has that name already, choose another", as, other)
			}
			names[as] = column
		}
	}
}

func (c *Config) validateRank(v *problems.List, path string, r *Rank) {
	if !legalName.MatchString(r.Model) {
		v.Add(path+".model", "is %q: want the name of a folder in models.repository (%s), such as recommender", r.Model, c.Models.Repository)
	}
	if r.Candidates == "" || slices.Contains(strings.Split(r.Candidates, "."), "") {
		v.Add(path+".candidates", "is %q: want the path of a list of ids, such as candidates", r.Candidates)
	}
	for key, list := range map[string]*StoredList{"otherwise": r.Otherwise, "history": r.History} {
		if list == nil {
			continue
		}
		view := c.Features.View(list.View)
		if list.Key != "" && slices.Contains(strings.Split(list.Key, "."), "") {
			v.Add(path+"."+key+".key", "is %q: want the path of a field, such as meta.user", list.Key)
		}
		switch {
		case view == nil:
			v.Add(path+"."+key+".view", "is %q: want %s", list.View, c.oneOfViews(list.View))
		case !slices.ContainsFunc(view.Fields, func(f features.FieldConfig) bool {
			return f.Name == list.Field && (f.Last != nil || f.Type == features.TypeTexts)
		}):
			v.Add(path+"."+key+".field", "is %q: want a field of view %s that is a list of texts (last, or type: texts)%s", list.Field, list.View, spelling.DidYouMean(list.Field, fieldNames(view)))
		}
	}
	if r.Items != "" && c.Features.View(r.Items) == nil {
		v.Add(path+".items", "is %q: leave it out, or want %s", r.Items, c.oneOfViews(r.Items))
	}
	for _, column := range slices.Sorted(maps.Keys(r.Inputs)) {
		v.Join(r.Inputs[column].Validate(fmt.Sprintf("%s.inputs.%s", path, column)))
	}
	if r.As == "" {
		v.Add(path+".as", "is empty: want the column's name in the result, such as ranking")
	}
	if r.Top < 0 || r.Top > 1_000_000 {
		v.Add(path+".top", "is %d: want how many candidates a result has, at most 1000000, or 0 for all", r.Top)
	}
}

func (c *Config) validateLookup(v *problems.List, path string, l *Lookup) {
	if len(l.Views) == 0 {
		v.Add(path+".views", "is empty: want at least %s", c.oneOfViews(""))
	}
	names := map[string]string{}
	for i, looked := range l.Views {
		path := fmt.Sprintf("%s.views[%d]", path, i)
		view := c.Features.View(looked.View)
		if view == nil {
			v.Add(path, "is %q: want %s", looked.View, c.oneOfViews(looked.View))
		}
		for j, field := range looked.Fields {
			if names := fieldNames(view); view != nil && !slices.Contains(names, field) {
				v.Add(fmt.Sprintf("%s.fields[%d]", path, j), "is %q: want a field of view %s (%s)%s", field, view.Name, strings.Join(names, ", "), spelling.DidYouMean(field, names))
			}
		}
		column := cmp.Or(looked.As, looked.View)
		if other, twice := names[column]; twice {
			v.Add(path, "adds %q to results: %s does so already, name one of them otherwise with as", column, other)
		}
		names[column] = path
		if looked.Key != "" && slices.Contains(strings.Split(looked.Key, "."), "") {
			v.Add(path+".key", "is %q: want the path of a field, such as meta.item", looked.Key)
		}
	}
}

// oneOfViews says which views there are, and which of them was probably meant.
func (c *Config) oneOfViews(name string) string {
	var known []string
	for _, view := range c.Features.Views {
		known = append(known, view.Name)
	}
	return fmt.Sprintf("one of features.views (%s)%s", cmp.Or(strings.Join(known, ", "), "there is none yet"), spelling.DidYouMean(name, known))
}

func fieldNames(view *features.ViewConfig) (names []string) {
	if view != nil {
		for _, field := range view.Fields {
			names = append(names, field.Name)
		}
	}
	return names
}

func (c *Config) validateAggregate(v *problems.List, path string, p *Pipeline, i int) {
	a := p.Steps[i].Aggregate
	if c.Features.View(a.View) == nil {
		v.Add(path+".view", "is %q: want %s", a.View, c.oneOfViews(a.View))
	}
	if view := c.Features.View(a.View); view != nil && view.Source == features.SourceStore {
		v.Add(path+".view", "is %q: others fill that view; want one without source: %s", a.View, features.SourceStore)
	}
	for j, earlier := range p.Steps[:i] {
		if earlier.Aggregate != nil && earlier.Aggregate.View == a.View {
			v.Add(path+".view", "is %q: steps[%d] has it already, and would count each event twice; remove one", a.View, j)
		}
	}
	if p.Delivery != pipeline.ExactlyOnce {
		v.Add(path, "needs delivery: exactly_once: with %s an event may count twice", p.Delivery)
	}
	for _, from := range slices.Sorted(maps.Keys(a.Map)) {
		if view := c.Features.View(a.View); view != nil && !slices.Contains(view.Paths(), from) {
			v.Add(path+".map."+from, ": view %s has no such path, want one of %s%s", view.Name, strings.Join(view.Paths(), ", "), spelling.DidYouMean(from, view.Paths()))
		}
		if to := a.Map[from]; to == "" || slices.Contains(strings.Split(to, "."), "") {
			v.Add(path+".map."+from, "is %q: want the path of a field, such as product.id", to)
		}
	}
}

// validateVersions refuses a version of a model that no step has: whoever pins one wants another than the highest to run.
func (c *Config) validateVersions(v *problems.List) {
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
				v.Add(fmt.Sprintf("pipelines[%d].%s", i, out.key), "is %q: the pipeline reads that topic, so each record would cause the next for ever; "+"choose another", out.topic)
				continue
			}
			// Each loop is told once, by the first pipeline in it.
			if way := c.way(out.topic, p.Input.Topic, map[string]bool{}); way != nil && i < slices.Min(way) {
				v.Add(fmt.Sprintf("pipelines[%d].%s", i, out.key), "is %q: through %s it comes back to %q, so each record would cause the next for ever; "+"break the loop", out.topic, c.names(way), p.Input.Topic)
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
