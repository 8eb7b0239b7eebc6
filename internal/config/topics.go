package config

import "nearline/features"

// TopicUse is one pipeline's use of a topic.
type TopicUse struct {
	// Pipeline is "" for what all of them share, and features.VIEW for a view.
	Pipeline, Topic string
	Use             Use
	// Holds is, for dead letters, the input whose records have to fit whole; "" for others.
	Holds string
}

// Use of a topic.
type Use string

// The uses of topics.
const (
	UseInput       Use = "input"
	UseOutput      Use = "output"
	UseDeadLetters Use = "dead letters"
	UseAttempts    Use = "attempts"
	UseProgress    Use = "progress"
	UseUpdates     Use = "updates"
	UseStates      Use = "states"
)

// Made says that the service makes the topic where it is missing.
func (u TopicUse) Made() bool {
	return u.Use == UseAttempts || u.Use == UseProgress || u.Use == UseUpdates || u.Use == UseStates || u.Use == UseDeadLetters && u.Holds == ""
}

// ViewPipeline is the name of the pipeline that keeps a view.
func ViewPipeline(view string) string { return "features." + view }

// Topics that the pipelines need, in the order of the file. One topic may have several uses.
func (c *Config) Topics() []TopicUse {
	var uses []TopicUse
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		uses = append(uses, TopicUse{Pipeline: p.Name, Topic: p.Input.Topic, Use: UseInput})
		if p.Output.Topic != "" {
			uses = append(uses, TopicUse{Pipeline: p.Name, Topic: p.Output.Topic, Use: UseOutput})
		}
		uses = append(uses, TopicUse{Pipeline: p.Name, Topic: p.DeadLetters, Use: UseDeadLetters, Holds: p.Input.Topic})
	}
	for _, v := range c.Features.Views {
		if v.Source == features.SourceStore {
			continue
		}
		name := ViewPipeline(v.Name)
		uses = append(uses,
			TopicUse{Pipeline: name, Topic: c.Features.UpdatesTopic(v.Name), Use: UseUpdates},
			TopicUse{Pipeline: name, Topic: c.Features.StateTopic(v.Name), Use: UseStates},
			TopicUse{Pipeline: name, Topic: c.Features.DeadLetters, Use: UseDeadLetters})
	}
	if c.Kafka.Attempts() {
		uses = append(uses, c.ofGroups(UseAttempts, c.Kafka.AttemptsTopicOf)...)
	}
	if c.Kafka.Progress() {
		uses = append(uses, c.ofGroups(UseProgress, c.Kafka.ProgressTopicOf)...)
	}
	return uses
}

// ofGroups are topics that the service keeps for its groups: one for each, unless all share one.
func (c *Config) ofGroups(kind Use, topicOf func(group string) string) (uses []TopicUse) {
	use := func(pipeline, group string) {
		topic := topicOf(group)
		for i := range uses {
			if uses[i].Topic == topic {
				uses[i].Pipeline = "" // shared
				return
			}
		}
		uses = append(uses, TopicUse{Pipeline: pipeline, Topic: topic, Use: kind})
	}
	for i := range c.Pipelines {
		use(c.Pipelines[i].Name, c.Pipelines[i].Group)
	}
	for _, v := range c.Features.Views {
		if v.Source != features.SourceStore {
			use(ViewPipeline(v.Name), c.Features.Group(v.Name))
		}
	}
	return uses
}
