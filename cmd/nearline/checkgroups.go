package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"nearline/consumers"
	"nearline/features"
	"nearline/internal/config"
)

// checkGroups says how long the brokers keep the offsets of groups that stand still, which groups do, and what happens when they are gone.
func checkGroups(ctx context.Context, c *config.Config, cluster *consumers.Cluster, say sayer) {
	kept := "for a time that they do not tell (offsets.retention.minutes; a week unless changed)"
	retention := cluster.OffsetRetention(ctx)
	if retention > 0 {
		kept = fmt.Sprintf("for %s (offsets.retention.minutes)", days(retention))
	}
	then := fmt.Sprintf("after that it goes on where topic %s says", c.Kafka.ProgressTopicOf("GROUP"))
	if !c.Kafka.Progress() {
		then = "after that it begins anew, and its records are counted twice: kafka.progress_topic is off"
	}
	say(nil, "offsets: the brokers keep those of a stopped group %s; %s", kept, then)
	topics := make(map[string]string) // by group
	for i := range c.Pipelines {
		topics[c.Pipelines[i].Group] = c.Pipelines[i].Input.Topic
	}
	for _, v := range c.Features.Views {
		if v.Source != features.SourceStore {
			topics[c.Features.Group(v.Name)] = c.Features.UpdatesTopic(v.Name)
		}
	}
	rests, err := cluster.AtRest(ctx, topics)
	if err != nil {
		say(err, "groups")
		return
	}
	for _, group := range slices.Sorted(maps.Keys(topics)) {
		if !rests[group] {
			continue
		}
		var problem error
		if !c.Kafka.Progress() {
			problem = noteError("start it before that, or set kafka.progress_topic")
		}
		say(problem, "group %s has no members: the brokers forget its offsets %s after it was stopped", group, ifKnown(retention))
	}
}

func ifKnown(retention time.Duration) string {
	if retention == 0 {
		return "some time"
	}
	return days(retention)
}

func days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	default:
		return d.String()
	}
}
