package config

// TopicUse is one pipeline's use of a topic.
type TopicUse struct {
	// Pipeline is "" for what all of them share.
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
)

// Topics that the pipelines need, in the order of the file. One topic may have several uses.
func (c *Config) Topics() []TopicUse {
	var uses []TopicUse
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		uses = append(uses,
			TopicUse{Pipeline: p.Name, Topic: p.Input.Topic, Use: UseInput},
			TopicUse{Pipeline: p.Name, Topic: p.Output.Topic, Use: UseOutput},
			TopicUse{Pipeline: p.Name, Topic: p.DeadLetters, Use: UseDeadLetters, Holds: p.Input.Topic})
	}
	if c.Kafka.Attempts() {
		uses = append(uses, TopicUse{Topic: c.Kafka.AttemptsTopic, Use: UseAttempts})
	}
	return uses
}
