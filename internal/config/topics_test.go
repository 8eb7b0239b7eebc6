package config

import (
	"slices"
	"testing"
)

// TestEachGroupHasTopicsOfItsOwn for what the service keeps for it, each kind also without the other.
func TestEachGroupHasTopicsOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		attempts, progress string
		want               []string
	}{
		{"", "", []string{
			"shop nearline.attempts.nearline-shop", "features.item nearline.attempts.nearline-features-item",
			"shop nearline.progress.nearline-shop", "features.item nearline.progress.nearline-features-item",
		}},
		{"off", "", []string{"shop nearline.progress.nearline-shop", "features.item nearline.progress.nearline-features-item"}},
		{"", "off", []string{"shop nearline.attempts.nearline-shop", "features.item nearline.attempts.nearline-features-item"}},
		{"off", "places", []string{" places"}},
		{"off", "off", nil},
	} {
		config, _, err := Parse("test.yaml", []byte(`
kafka: {brokers: ["kafka:9092"]`+key(", attempts_topic: ", c.attempts)+key(", progress_topic: ", c.progress)+`}
features: {views: [{name: item, key: item_id, fields: [{name: events, count: {}}]}]}
pipelines: [{name: shop, input: {topic: a}, steps: [{aggregate: {view: item}}], output: {topic: b}, dead_letters: a.dlq}]
`))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, use := range config.Topics() {
			if use.Use == UseAttempts || use.Use == UseProgress {
				got = append(got, use.Pipeline+" "+use.Topic)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("attempts %q, progress %q: got %q, want %q", c.attempts, c.progress, got, c.want)
		}
	}
}

func key(name, value string) string {
	if value == "" {
		return ""
	}
	return name + `"` + value + `"`
}
