package consumers

import (
	"fmt"
	"hash/fnv"
	"strings"

	"nearline/internal/problems"
	"nearline/pipeline"
)

// groupPlace stands for the group in the name of a topic that each group has for itself.
const groupPlace = "{group}"

// AttemptsTopicOf is the name of the topic that has the marks of a group.
func (c KafkaConfig) AttemptsTopicOf(group string) string { return topicOf(c.AttemptsTopic, group) }

// ProgressTopicOf is the name of the topic that has the places of a group.
func (c KafkaConfig) ProgressTopicOf(group string) string { return topicOf(c.ProgressTopic, group) }

// topicOf a group.
func topicOf(pattern, group string) string {
	name := strings.ReplaceAll(pattern, groupPlace, group)
	legal := strings.Map(func(r rune) rune {
		if strings.ContainsRune("._-", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
	if legal == name && len(name) <= pipeline.MaxTopicName {
		return name
	}
	// Groups may have any name. Two of them must not come to share a topic.
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name))
	suffix := fmt.Sprintf("-%016x", sum.Sum64())
	return legal[:min(len(legal), pipeline.MaxTopicName-len(suffix))] + suffix
}

// validateTopic of a group, which is named by this key.
func validateTopic(p *problems.List, key, pattern string) {
	switch {
	case pattern == "":
		p.Add(key, "is empty: want the name of a topic, in which {group} is the consumer group, or off")
	case topicOf(pattern, "g") != strings.ReplaceAll(pattern, groupPlace, "g"):
		p.Add(key, "is %q: want the name of a topic (letters, digits, '.', '_' and '-', at most %d), in which {group} is the consumer group, or off",
			pattern, pipeline.MaxTopicName)
	}
}
