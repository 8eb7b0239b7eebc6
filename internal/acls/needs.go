package acls

import (
	"fmt"
	"slices"
	"strings"

	"nearline/features"
	"nearline/internal/config"
	"nearline/internal/deadletters"
	"nearline/internal/production"
	"nearline/pipeline"
)

// Purpose that rights are for. Each is served by somebody who may be another principal.
type Purpose string

// The purposes.
const (
	// Service is what nearline run does, and what nearline check looks for.
	Service Purpose = "run"
	// Production looks at what the brokers keep, for the production checklist.
	Production Purpose = "check"
	// Topics lists topics and makes those that are missing.
	Topics Purpose = "topics"
	// Letters lists dead letters, shows them, puts their originals back and dismisses them.
	Letters Purpose = "dlq"
	// Export makes training rows.
	Export Purpose = "export"
	// Torture makes topics of its own, runs the service on them and deletes them.
	Torture Purpose = "torture"
)

// Purposes that there are, the service first.
func Purposes() []Purpose { return []Purpose{Service, Production, Topics, Letters, Export, Torture} }

// Command of nearline that serves the purpose.
func (p Purpose) Command() string {
	switch p {
	case Service:
		return "nearline run"
	case Production:
		return "nearline check --production"
	case Topics:
		return "nearline topics --create"
	case Letters:
		return "nearline dlq"
	case Export:
		return "nearline features export"
	default:
		return "nearline torture --config"
	}
}

// Of a configuration, all rights that a purpose asks for, in the order of the file.
func Of(c *config.Config, purpose Purpose) []Right {
	n := needs{config: c}
	switch purpose {
	case Service:
		n.service()
	case Production:
		n.production()
	case Topics:
		n.topics()
	case Letters:
		n.letters()
	case Export:
		n.export()
	case Torture:
		n.torture()
	}
	return n.all
}

// needs are the rights that a configuration asks for, as they are found.
type needs struct {
	rights
	config *config.Config
}

func (n *needs) need(r Resource, why string, operations ...Operation) {
	n.add(Right{Resource: r, Why: []string{why}}, operations...)
}

func (n *needs) want(r Resource, why, without string, operations ...Operation) {
	n.add(Right{Resource: r, Why: []string{why}, Without: without}, operations...)
}

func topic(name string) Resource { return Resource{Kind: Topic, Name: name} }
func group(name string) Resource { return Resource{Kind: Group, Name: name} }

func (n *needs) service() {
	c := n.config
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		what := "pipeline " + p.Name
		n.member(what, p.Group, p.Input.Topic, p.Delivery)
		if p.Output.Topic != "" {
			n.need(topic(p.Output.Topic), what+" publishes its results", Write)
			n.limits(p.Output.Topic, what)
		}
		n.need(topic(p.DeadLetters), what+" publishes its dead letters", Write)
		n.limits(p.DeadLetters, what)
		for _, step := range p.Steps {
			if step.Aggregate != nil && n.kept(step.Aggregate.View) {
				n.need(topic(c.Features.UpdatesTopic(step.Aggregate.View)), what+" publishes updates of the view", Write)
			}
		}
	}
	for _, v := range c.Features.Views {
		if n.kept(v.Name) {
			n.view(v.Name)
		}
	}
}

// kept says that a view is kept in topics.
func (n *needs) kept(view string) bool {
	v := n.config.Features.View(view)
	return v != nil && v.Source != features.SourceStore
}

// member of a group, with what it keeps beside.
func (n *needs) member(what, name, input string, delivery pipeline.Delivery) {
	c := n.config.Kafka
	n.need(topic(input), what+" reads its input", Read)
	n.need(group(name), what+" shares its input out among members", Read)
	if delivery == pipeline.AtLeastOnce {
		n.add(Right{Resource: Resource{Kind: Cluster}, Why: []string{what + " publishes without transactions"}, Until: "2.8"}, IdempotentWrite)
	} else {
		// All replicas, and not one: who takes the partitions of a dead one ends its transaction.
		n.need(Resource{Kind: TransactionalID, Name: name + "/", Prefixed: true}, what+" publishes in transactions, and ends those of dead replicas", Write)
	}
	if c.Attempts() {
		n.made(c.AttemptsTopicOf(name), what+" marks what it works on (kafka.attempts_topic)", Read, Write)
	}
	if c.Progress() {
		n.made(c.ProgressTopicOf(name), what+" keeps how far it has come (kafka.progress_topic)", Read, Write)
	}
}

// made are the rights to a topic that the service makes where it is missing.
func (n *needs) made(name, why string, operations ...Operation) {
	n.need(topic(name), why, operations...)
	n.want(topic(name), why, "somebody else has to make the topic, as nearline topics --create does", Create)
}

// limits of a topic that are asked for.
func (n *needs) limits(name, what string) {
	n.want(topic(name), what+" asks what the topic takes", "records above the default of 1 MiB, or of max_record_bytes, become dead letters, whatever the topic takes; "+
		"and its rules for timestamps are taken to be Kafka's own", DescribeConfigs)
}

// view that is kept in topics.
func (n *needs) view(name string) {
	c := n.config.Features
	what := "view " + name
	updates, states, letters := c.UpdatesTopic(name), c.StateTopic(name), c.DeadLetters
	n.member(what, c.Group(name), updates, pipeline.ExactlyOnce)
	n.made(updates, what+" reads its updates")
	n.want(topic(updates), what+" deletes updates that it has read", "the topic grows for ever", Delete)
	n.want(topic(updates), what+" mends a topic whose settings would lose updates", "somebody else has to mend it, and the log says how", AlterConfigs)
	n.made(states, what+" keeps its states", Read, Write)
	n.limits(states, what)
	n.made(letters, what+" publishes its dead letters (features.dead_letters)", Write)
	n.limits(letters, what)
	if s := c.Store; s.Redis != nil || s.DynamoDB != nil || s.Bigtable != nil || s.Firestore != nil {
		n.need(Resource{Kind: Group, Name: c.Group(name) + "-store-", Prefixed: true}, what+" puts its states into the store; each filling has a group", Read)
	}
}

func (n *needs) production() {
	for _, name := range production.Topics(n.config) {
		n.need(topic(name), "the production checklist looks at its replicas and settings", Describe, DescribeConfigs)
	}
}

func (n *needs) topics() {
	for _, use := range n.config.Topics() {
		r, why := topic(use.Topic), string(use.Use)
		if use.Pipeline != "" {
			why += " of " + use.Pipeline
		}
		n.need(r, why, Describe, Create)
		n.want(r, why, "its limits and retention are not shown, and a topic of dead letters is not made larger than its input", DescribeConfigs)
	}
}

func (n *needs) letters() {
	c := n.config
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		n.letter(p.DeadLetters, "pipeline "+p.Name, p.Input.Topic)
	}
	for _, v := range c.Features.Views {
		if n.kept(v.Name) {
			n.letter(c.Features.DeadLetters, "view "+v.Name, c.Features.UpdatesTopic(v.Name))
		}
	}
}

// letter rights to a topic of dead letters, of whoever has that input.
func (n *needs) letter(name, what, input string) {
	memory := deadletters.MemoryTopic(name)
	n.need(topic(name), "dead letters of "+what, Read)
	n.need(topic(memory), "what was done about dead letters of "+what, Read)
	n.want(topic(memory), "what was done about dead letters of "+what, "nothing can be replayed or dismissed", Write)
	n.want(topic(memory), "the topic is made with the first replay", "somebody else has to make the topic: one partition, cleanup.policy=compact", Create)
	n.want(Resource{Kind: TransactionalID, Name: deadletters.TransactionalID(name)}, "replays put originals back in transactions", "nothing can be replayed or dismissed", Write)
	n.want(topic(input), "replays put originals back into the input of "+what, "originals cannot be put back there; --to wants Write on the topic that it names", Write)
	n.want(topic(input), "originals that do not fit into their dead letters are read from the input of "+what, "such originals cannot be put back", Read)
}

func (n *needs) export() {
	c := n.config.Features
	for _, v := range c.Views {
		if n.kept(v.Name) {
			n.need(topic(c.UpdatesTopic(v.Name)), "what view "+v.Name+" was told; --topic wants Read on the topic with the rows, too", Read)
		}
	}
}

// torturePrefix is what the names of all that a torture makes begin with.
const torturePrefix = "nearline-torture-"

func (n *needs) torture() {
	all := func(kind Kind) Resource { return Resource{Kind: kind, Name: torturePrefix, Prefixed: true} }
	n.need(all(Topic), "topics of the run: made, written, read back and deleted", Read, Write, Create, Delete)
	n.want(all(Topic), "the output refuses results for a while, and the input takes timestamps of years to come",
		"the fault refuse cannot be chosen, and brokers from Kafka 4.0 on refuse records of the load", AlterConfigs)
	n.need(all(Group), "groups of the run", Read, Delete)
	n.need(all(TransactionalID), "transactions of the replicas", Write)
	c := n.config.Kafka
	for _, own := range []struct {
		on      bool
		topicOf func(string) string
		why     string
	}{
		{c.Attempts(), c.AttemptsTopicOf, "replicas mark what they work on"},
		{c.Progress(), c.ProgressTopicOf, "replicas keep how far they have come"},
	} {
		if own.on {
			n.need(ofGroups(own.topicOf), own.why, Read, Write, Create)
		}
	}
}

// ofGroups are the topics of all groups of a torture.
func ofGroups(topicOf func(group string) string) Resource {
	before, _, found := strings.Cut(topicOf(torturePrefix), torturePrefix)
	if !found {
		return topic(topicOf(torturePrefix)) // one for all groups
	}
	return Resource{Kind: Topic, Name: before + torturePrefix, Prefixed: true}
}

// ParsePurposes reads names of purposes.
func ParsePurposes(names []string) ([]Purpose, error) {
	var found []Purpose
	for _, name := range names {
		p := Purpose(name)
		if !slices.Contains(Purposes(), p) {
			return nil, fmt.Errorf("%q is no purpose: want %s", name, purposeNames())
		}
		if !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found, nil
}

func purposeNames() string {
	var names []string
	for _, p := range Purposes() {
		names = append(names, string(p))
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
