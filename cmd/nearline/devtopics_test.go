package main

import (
	"testing"

	"nearline/examples"
	"nearline/internal/config"
)

// TestDevLeavesCompactedTopicsOfGroupsToTheService: one that is deleted by size would lose the places of partitions that are at rest.
func TestDevLeavesCompactedTopicsOfGroupsToTheService(t *testing.T) {
	c, _, err := config.Parse("shop.yaml", examples.Shop)
	if err != nil {
		t.Fatal(err)
	}
	uses := map[string]config.Use{}
	for _, use := range c.Topics() {
		uses[use.Topic] = use.Use
	}
	for _, topic := range (devFlags{}).allTopics(c) {
		if use := uses[topic.Name]; use == config.UseAttempts || use == config.UseProgress {
			t.Errorf("the broker makes topic %s with the settings %v: want it left to the service", topic.Name, topic.Settings)
		}
	}
}
