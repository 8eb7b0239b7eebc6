package config

// TopicUse is one pipeline's use of a topic.
type TopicUse struct {
	Pipeline, Topic string
	// Use is input, output or dead letters.
	Use string
	// For a topic of dead letters, the input whose records it has to hold whole; "" for others.
	Holds string
}

// Topics that the pipelines need, in the order of the file. One topic may have several uses.
func (c *Config) Topics() []TopicUse {
	var uses []TopicUse
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		uses = append(uses,
			TopicUse{Pipeline: p.Name, Topic: p.Input.Topic, Use: "input"},
			TopicUse{Pipeline: p.Name, Topic: p.Output.Topic, Use: "output"},
			TopicUse{Pipeline: p.Name, Topic: p.DeadLetters, Use: "dead letters", Holds: p.Input.Topic})
	}
	return uses
}
