package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nearline/consumers"
	"nearline/internal/config"
	"nearline/internal/production"
	"nearline/internal/spelling"
)

// productionFlags are what `nearline check` can be told of production.
type productionFlags struct {
	asked    bool
	accepted []string
}

func (f productionFlags) validate() error {
	if len(f.accepted) > 0 && !f.asked {
		return fmt.Errorf("--accept %s: only --production finds something to accept", f.accepted[0])
	}
	names := production.Names()
	for _, name := range f.accepted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("--accept %s: there is no such rule%s: the rules are %s", name, spelling.DidYouMean(name, names), strings.Join(names, ", "))
		}
	}
	return nil
}

// check says what the configuration and the cluster lack for production. The cluster is nil where it was not reached, which has been told.
func (f productionFlags) check(ctx context.Context, c *config.Config, cluster *consumers.Cluster, brokers int, say sayer) {
	if !f.asked {
		return
	}
	var world *production.World
	if cluster != nil {
		topics, err := cluster.Topics(ctx, productionTopics(c)...)
		if err != nil {
			say(err, "production")
			return
		}
		world = &production.World{Brokers: brokers, Topics: topics}
	}
	wrong := make(map[string]bool)
	for _, found := range production.Check(c, world) {
		wrong[found.Rule] = true
		said := fmt.Errorf("%s: %s", found.Why, found.Do)
		switch {
		case slices.Contains(f.accepted, found.Rule):
			said = noteError("accepted, although " + found.Why)
		case found.Unseen:
			said = noteError(said.Error())
		}
		say(said, "production %s: %s", found.Rule, found.What)
	}
	for _, rule := range production.Rules() {
		if !wrong[rule.Name] && (world != nil || !rule.OfCluster) {
			say(nil, "production %s: %s", rule.Name, rule.Wants)
		}
	}
}

// productionTopics are the topics that the rules look at.
func productionTopics(c *config.Config) []string {
	names := map[string]bool{production.OffsetsTopic: true, production.TransactionsTopic: true}
	for _, use := range c.Topics() {
		names[use.Topic] = true
	}
	return slices.Sorted(maps.Keys(names))
}
