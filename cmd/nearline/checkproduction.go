package main

import (
	"context"
	"errors"
	"fmt"
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
	names := append(production.Names(), unseen)
	for _, name := range f.accepted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("--accept %s: there is no such rule%s: the rules are %s", name, spelling.DidYouMean(name, names), strings.Join(names, ", "))
		}
	}
	return nil
}

// unseen accepts what may not be looked at, whichever rules that are.
const unseen = "unseen"

// check says what the configuration and the cluster lack for production. The cluster is nil where it was not reached, which has been told.
func (f productionFlags) check(ctx context.Context, c *config.Config, cluster *consumers.Cluster, brokers int, say sayer) {
	if !f.asked {
		return
	}
	var world *production.World
	if cluster != nil {
		topics, err := cluster.Topics(ctx, production.Topics(c)...)
		if err != nil {
			say(err, "production")
			return
		}
		world = &production.World{Brokers: brokers, Topics: topics}
	}
	wrong, hidden := make(map[string]bool), make(map[string]bool)
	for _, found := range production.Check(c, world) {
		wrong[found.Rule] = true
		said := fmt.Errorf("%s: %s", found.Why, found.Do)
		switch {
		case slices.Contains(f.accepted, found.Rule):
			said = noteError("accepted, although " + found.Why)
		case found.Unseen && slices.Contains(f.accepted, unseen):
			hidden[found.Rule], said = true, noteError("accepted, although nobody has looked")
		case found.Unseen:
			hidden[found.Rule], said = true, errors.New(found.Do)
		}
		say(said, "production %s: %s", found.Rule, found.What)
	}
	if n := len(hidden); n > 0 {
		say(noteError("grant what nearline acls --config FILE --for check prints, check as somebody who has it, or accept that by --accept "+unseen), "production: %d of the rules could not be looked at everywhere", n)
	}
	for _, rule := range production.Rules() {
		if !wrong[rule.Name] && (world != nil || !rule.OfCluster) {
			say(nil, "production %s: %s", rule.Name, rule.Holds(c))
		}
	}
}
