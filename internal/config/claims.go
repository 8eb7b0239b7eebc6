package config

import (
	"fmt"
	"slices"
	"strings"

	"nearline/features"
	"nearline/internal/problems"
	"nearline/producers"
)

// claim is what a key of the configuration makes of a topic. Topics has the same uses for those that look topics up; here are also those that only exist
// once somebody replays.
type claim struct {
	// key that names the topic, or that it is named after.
	key string
	TopicUse
	// named says that the topic is the key's value.
	named bool
}

// useReplays is the memory of what was replayed of a topic of dead letters.
const useReplays Use = "memory of replays"

// claims of all pipelines and views on topics, in the order of the file; nothing for names that are missing.
func (c *Config) claims() []claim {
	var claims []claim
	add := func(key string, named bool, use TopicUse) {
		if use.Topic != "" {
			claims = append(claims, claim{key, use, named})
		}
	}
	var letters []string
	remember := func(key string, use TopicUse) {
		add(key, true, use)
		if use.Topic != "" && !slices.Contains(letters, use.Topic) {
			letters = append(letters, use.Topic)
			add(key, false, TopicUse{Pipeline: use.Pipeline, Topic: use.Topic + producers.ReplayedSuffix, Use: useReplays})
		}
	}
	for i := range c.Pipelines {
		p, path := &c.Pipelines[i], fmt.Sprintf("pipelines[%d]", i)
		add(path+".input.topic", true, TopicUse{Pipeline: p.Name, Topic: p.Input.Topic, Use: UseInput})
		add(path+".output.topic", true, TopicUse{Pipeline: p.Name, Topic: p.Output.Topic, Use: UseOutput})
		remember(path+".dead_letters", TopicUse{Pipeline: p.Name, Topic: p.DeadLetters, Use: UseDeadLetters})
	}
	kept := false
	for i, v := range c.Features.Views {
		// A name that two have is told of as such.
		if v.Source == features.SourceStore || v.Name == "" || c.Features.View(v.Name) != &c.Features.Views[i] {
			continue
		}
		kept = true
		key := fmt.Sprintf("features.views[%d].name", i)
		add(key, false, TopicUse{Pipeline: ViewPipeline(v.Name), Topic: c.Features.UpdatesTopic(v.Name), Use: UseUpdates})
		add(key, false, TopicUse{Pipeline: ViewPipeline(v.Name), Topic: c.Features.StateTopic(v.Name), Use: UseStates})
	}
	if kept {
		remember("features.dead_letters", TopicUse{Pipeline: "features", Topic: c.Features.DeadLetters, Use: UseDeadLetters})
	}
	if c.Kafka.Attempts() {
		for _, use := range c.ofGroups(UseAttempts, c.Kafka.AttemptsTopicOf) {
			add("kafka.attempts_topic", c.Kafka.AttemptsTopic == use.Topic, use)
		}
	}
	if c.Kafka.Progress() && c.Kafka.ProgressTopic != c.Kafka.AttemptsTopic { // or else the room tells
		for _, use := range c.ofGroups(UseProgress, c.Kafka.ProgressTopicOf) {
			add("kafka.progress_topic", c.Kafka.ProgressTopic == use.Topic, use)
		}
	}
	return claims
}

// share says whether a topic may have both uses. Events may come from results or from dead letters, and several may write these, each of their
// kind; what the service keeps for itself is nobody else's. Records that would go round are for validateLoops to find.
func share(a, b Use) bool {
	events := func(u Use) bool { return u == UseInput || u == UseOutput || u == UseDeadLetters }
	if !events(a) || !events(b) {
		return false
	}
	return a == b || a == UseInput || b == UseInput
}

// validateClaims refuses topics with two uses that do not go together. Each use is told of once, with the first that it does not go with.
func (c *Config) validateClaims(v *problems.List) {
	claims := c.claims()
	first := make(map[string][]claim, len(claims)) // by the topic's name as metrics have it
	for _, second := range claims {
		metric := strings.ReplaceAll(second.Topic, ".", "_")
		for _, one := range first[metric] {
			switch same := one.Topic == second.Topic; {
			case same && share(one.Use, second.Use):
				continue
			case same && one.Pipeline == second.Pipeline && one.Use == UseOutput && second.Use == UseDeadLetters:
				continue // the pipeline tells
			case !same && one.Use == useReplays && second.Use == useReplays:
				continue // those that they are named after tell
			}
			c.refuseClaim(v, one, second)
			break
		}
		first[metric] = append(first[metric], second)
	}
}

// refuseClaim under the key that names a topic, for what the other makes of it.
func (c *Config) refuseClaim(v *problems.List, other, at claim) {
	if !at.named && other.named {
		at, other = other, at
	}
	is := fmt.Sprintf("is %q", at.Topic)
	if !at.named {
		is = fmt.Sprintf("makes topic %q of it (%s)", at.Topic, at.Use)
	}
	if at.Topic != other.Topic {
		v.Add(at.key, "%s: %s has %q (%s), and brokers refuse names that differ in dots and underscores alone; choose another", is, other.key, other.Topic, other.Use)
		return
	}
	v.Add(at.key, "%s: %s; choose another", is, other.why())
}

// why nothing else goes to the claim's topic, or comes from there.
func (c claim) why() string {
	switch c.Use {
	case UseUpdates:
		return fmt.Sprintf("the updates of view %s are there (%s), and the service deletes what the view has read", strings.TrimPrefix(c.Pipeline, "features."), c.key)
	case UseStates:
		return fmt.Sprintf("the service keeps the states of view %s there (%s)", strings.TrimPrefix(c.Pipeline, "features."), c.key)
	case UseAttempts:
		return fmt.Sprintf("the service marks there what it is working on (%s)", c.key)
	case UseProgress:
		return fmt.Sprintf("the service keeps there how far groups have come (%s)", c.key)
	case useReplays:
		return fmt.Sprintf("replays remember there which dead letters of %s they put back", strings.TrimSuffix(c.Topic, producers.ReplayedSuffix))
	case UseOutput:
		return fmt.Sprintf("results of pipeline %s go there (%s), and their readers expect nothing else", c.Pipeline, c.key)
	case UseDeadLetters:
		return fmt.Sprintf("dead letters of %s go there (%s)", c.Pipeline, c.key)
	default:
		return fmt.Sprintf("pipeline %s reads it (%s)", c.Pipeline, c.key)
	}
}

// validateGroups refuses a group that two come to be members of: they would share out partitions of topics that only one of them reads.
func (c *Config) validateGroups(v *problems.List) {
	views := make(map[string]string) // by group
	for _, view := range c.Features.Views {
		if view.Source != features.SourceStore {
			views[c.Features.Group(view.Name)] = view.Name
		}
	}
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		for group, view := range views {
			switch {
			case p.Group == group:
				v.Add(fmt.Sprintf("pipelines[%d].group", i), "is %q: view %s has that group; choose another, or leave it out for %s", p.Group, view, groupOf(p.Name))
			case strings.HasPrefix(p.Group, group+"-store-"):
				v.Add(fmt.Sprintf("pipelines[%d].group", i), "is %q: groups that fill the store of view %s begin so; choose another", p.Group, view)
			}
		}
	}
}
