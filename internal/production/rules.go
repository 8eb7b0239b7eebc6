// Package production knows what a service needs before others depend on it, and says of a configuration, and of the cluster that it runs on, what it
// lacks. It asks nobody: whoever calls it has looked. The same rules are the table of docs/production.md.
package production

import (
	"fmt"
	"maps"
	"slices"

	"nearline/consumers"
	"nearline/internal/config"
)

// Rule is one thing that production needs.
type Rule struct {
	// Name by which the rule is told, and accepted.
	Name string
	// Wants says what must hold, and Why what happens otherwise: the row of the documentation.
	Wants, Why string
	// OfCluster says that the rule is about what the brokers keep.
	OfCluster bool

	look func(*look)
	// idle says why there is nothing that could break the rule; nil, or "", is where there is something.
	idle func(*config.Config) string
}

// Holds says what is so where the rule found nothing.
func (r Rule) Holds(c *config.Config) string {
	if r.idle != nil {
		if why := r.idle(c); why != "" {
			return why
		}
	}
	return r.Wants
}

// Finding is one place where a rule does not hold.
type Finding struct {
	Rule string
	// What is wrong begins with the key or the topic. Do is the key to set, or the command to run.
	What, Why, Do string
	// Unseen says that the rule may hold: what it looks at may not be read.
	Unseen bool
}

// World is what was found of the cluster.
type World struct {
	Brokers int
	// Topics by name, those of the configuration and those that brokers write for themselves.
	Topics map[string]consumers.Topic
}

// The topics that brokers keep groups' offsets and transactions in.
const (
	OffsetsTopic      = "__consumer_offsets"
	TransactionsTopic = "__transaction_state"
)

// Topics that the rules look at.
func Topics(c *config.Config) []string {
	names := map[string]bool{OffsetsTopic: true, TransactionsTopic: true}
	for _, use := range c.Topics() {
		names[use.Topic] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Rules in the order in which they are told.
func Rules() []Rule {
	ofCluster := cluster()
	for i := range ofCluster {
		ofCluster[i].OfCluster = true
	}
	return slices.Concat(access(), behaviour(), ofCluster)
}

// Names of all rules.
func Names() (names []string) {
	for _, rule := range Rules() {
		names = append(names, rule.Name)
	}
	return names
}

// Check a configuration. World is nil where no cluster was reached: its rules then say nothing.
func Check(c *config.Config, world *World) []Finding {
	l := &look{config: c, world: world}
	for _, rule := range Rules() {
		l.rule = rule
		rule.look(l)
	}
	return l.found
}

// look is one turn through the rules.
type look struct {
	config *config.Config
	world  *World
	rule   Rule
	found  []Finding
}

// finds that the rule does not hold. Do says how it will.
func (l *look) finds(do, what string, args ...any) {
	l.found = append(l.found, Finding{Rule: l.rule.Name, What: fmt.Sprintf(what, args...), Why: l.rule.Why, Do: do})
}

// unseen says that nobody may see whether the rule holds.
func (l *look) unseen(do, what string, args ...any) {
	l.found = append(l.found, Finding{Rule: l.rule.Name, What: fmt.Sprintf(what, args...), Why: l.rule.Why, Do: do, Unseen: true})
}
