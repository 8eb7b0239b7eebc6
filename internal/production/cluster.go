package production

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"nearline/consumers"
	"nearline/internal/config"
)

const (
	day = 24 * time.Hour

	leastBrokers  = 3
	leastReplicas = 3
	leastInSync   = 2
	// leastInput is a weekend in which nobody looks, and leastDeadLetters a week in which somebody repairs. Guesses.
	leastInput       = 3 * day
	leastDeadLetters = 7 * day
)

// cluster are the rules of what the brokers keep.
func cluster() []Rule {
	return []Rule{
		{
			Name:  "brokers",
			Wants: "the cluster has three brokers or more",
			Why:   "with fewer, one that is lost stops the stream, or takes records along",
			look:  (*look).brokers,
		},
		{
			Name:  "replication",
			Wants: "every topic has three replicas or more, those in which brokers keep offsets and transactions among them",
			Why:   "the only copies of a record may be lost together",
			look:  (*look).replication,
		},
		{
			Name:  "in-sync",
			Wants: "every topic has min.insync.replicas of 2 or more, and fewer than it has replicas",
			Why:   "with 1 an acknowledged record may be lost with one broker; with as many as there are replicas, one broker that is away stops the stream",
			look:  (*look).inSync,
		},
		{
			Name:  "elections",
			Wants: "unclean.leader.election.enable is false for every topic",
			Why:   "a broker that has missed records may become the leader, and they are gone",
			look:  (*look).elections,
		},
		{
			Name:  "retention",
			Wants: "inputs keep records for three days or more, dead letters for seven, and neither deletes by size",
			Why:   "a stream that stands still over a weekend loses what it has not read, and a dead letter is gone before anybody has repaired it",
			look:  (*look).retention,
		},
		{
			Name:  "compaction",
			Wants: "topics of progress and of states are compacted and never deleted from; inputs are not compacted",
			Why:   "brokers would delete where groups go on or what views know, or drop an event that a later one of its key has overtaken",
			look:  (*look).compaction,
		},
	}
}

func (l *look) brokers() {
	if l.world != nil && l.world.Brokers < leastBrokers {
		l.finds(fmt.Sprintf("add brokers until there are %d", leastBrokers), "the cluster has %s", things(l.world.Brokers, "broker"))
	}
}

// topics calls f for each topic that is there, once, with its first use. Those that brokers keep for themselves have none.
func (l *look) topics(f func(use config.TopicUse, topic consumers.Topic)) {
	if l.world == nil {
		return
	}
	var seen, hidden []string
	uses := l.config.Topics()
	for _, own := range []string{OffsetsTopic, TransactionsTopic} {
		uses = append(uses, config.TopicUse{Topic: own})
	}
	for _, use := range uses {
		topic, known := l.world.Topics[use.Topic]
		if !known || slices.Contains(seen, use.Topic) {
			continue
		}
		seen = append(seen, use.Topic)
		switch {
		case topic.Hidden():
			hidden = append(hidden, use.Topic)
		case topic.Err == nil: // what is missing is told by whoever needs it
			f(use, topic)
		}
	}
	l.unseenTopics(hidden, "%s may not be seen", "Describe")
}

// unseenTopics says that those topics may not be looked at, and what would help.
func (l *look) unseenTopics(topics []string, what, operation string) {
	if len(topics) == 0 {
		return
	}
	which := "topic " + topics[0]
	if more := len(topics) - 1; more > 0 {
		which = "topics " + topics[0] + " and " + things(more, "other")
	}
	l.unseen("want "+operation+" of them all: nearline acls --config FILE --for check prints what allows it", what, which)
}

// settings of a topic, or false where they may not be read, which is said once for each rule.
func (l *look) settings(f func(use config.TopicUse, topic consumers.Topic)) {
	var unseen []string
	l.topics(func(use config.TopicUse, topic consumers.Topic) {
		if topic.Settings == nil {
			unseen = append(unseen, topic.Name)
			return
		}
		f(use, topic)
	})
	l.unseenTopics(unseen, "the settings of %s may not be read", "DescribeConfigs")
}

func (l *look) replication() {
	l.topics(func(_ config.TopicUse, topic consumers.Topic) {
		if topic.Replicas >= leastReplicas {
			return
		}
		l.finds(fmt.Sprintf("give each partition %d replicas by kafka-reassign-partitions.sh, or make the topic anew while it is empty", leastReplicas),
			"topic %s has %s", topic.Name, things(topic.Replicas, "replica"))
	})
}

func (l *look) inSync() {
	l.settings(func(_ config.TopicUse, topic consumers.Topic) {
		setting := topic.Settings["min.insync.replicas"]
		n, err := strconv.Atoi(setting)
		switch {
		case err != nil: // a cluster that has no such setting has an idea of its own
		case n < leastInSync:
			l.finds(consumers.Remedy(topic.Name, []string{"min.insync.replicas=2"}), "topic %s has min.insync.replicas=%d", topic.Name, n)
		case n >= topic.Replicas && topic.Replicas >= leastReplicas: // of fewer, replication tells
			l.finds(fmt.Sprintf("give each partition %d replicas by kafka-reassign-partitions.sh", n+1), "topic %s has min.insync.replicas=%d and %s",
				topic.Name, n, things(topic.Replicas, "replica"))
		}
	})
}

func (l *look) elections() {
	l.settings(func(_ config.TopicUse, topic consumers.Topic) {
		const setting = "unclean.leader.election.enable"
		if topic.Settings[setting] == "true" {
			l.finds(consumers.Remedy(topic.Name, []string{setting + "=false"}), "topic %s has %s=true", topic.Name, setting)
		}
	})
}

func (l *look) retention() {
	l.settings(func(use config.TopicUse, topic consumers.Topic) {
		least := map[config.Use]time.Duration{config.UseInput: leastInput, config.UseDeadLetters: leastDeadLetters}[use.Use]
		if least == 0 || topic.Compacted {
			return
		}
		if topic.Retention >= 0 && topic.Retention < least {
			l.finds(consumers.Remedy(topic.Name, []string{fmt.Sprintf("retention.ms=%d", least.Milliseconds())}), "topic %s, %s of pipeline %s, keeps records for %v",
				topic.Name, use.Use, use.Pipeline, topic.Retention)
		}
		if bytes, err := strconv.ParseInt(topic.Settings["retention.bytes"], 10, 64); err == nil && bytes >= 0 {
			l.finds(consumers.Remedy(topic.Name, []string{"retention.bytes=-1"}), "topic %s, %s of pipeline %s, deletes records beyond %d bytes a partition, however young they are",
				topic.Name, use.Use, use.Pipeline, bytes)
		}
	})
}

func (l *look) compaction() {
	const setting = "cleanup.policy"
	l.settings(func(use config.TopicUse, topic consumers.Topic) {
		policy := topic.Settings[setting]
		switch use.Use {
		case config.UseProgress, config.UseStates:
			if policy != "compact" {
				l.finds(consumers.Remedy(topic.Name, []string{setting + "=compact"}), "topic %s, %s, has %s=%s", topic.Name, use.Use, setting, policy)
			}
		case config.UseInput:
			if topic.Compacted {
				l.finds(consumers.Remedy(topic.Name, []string{setting + "=delete"}), "topic %s, the input of pipeline %s, has %s=%s", topic.Name, use.Pipeline, setting, policy)
			}
		}
	})
}

// things are so many of a kind.
func things(n int, kind string) string {
	if n == 1 {
		return "1 " + kind
	}
	return fmt.Sprintf("%d %ss", n, kind)
}
