package config

import (
	"fmt"
	"strings"
	"testing"
)

// twoPipelines and a view, with these topics in place of their own.
func twoPipelines(replica, group string, topics map[string]string) string {
	at := func(name string) string {
		if topic, ok := topics[name]; ok {
			return topic
		}
		return name
	}
	return fmt.Sprintf(`
kafka: {brokers: ["kafka:9092"], replica: %q}
features: {dead_letters: %s, views: [{name: item, key: item_id, fields: [{name: n, count: {}}]}]}
pipelines:
  - {name: one, group: %q, input: {topic: %s}, steps: [{predict: {model: m}}, {aggregate: {view: item}}], output: {topic: %s}, dead_letters: %s}
  - {name: two, input: {topic: %s}, steps: [{predict: {model: m}}], output: {topic: %s}, dead_letters: %s}
`, replica, at("features"), group, at("in1"), at("out1"), at("dead1"), at("in2"), at("out2"), at("dead2"))
}

func TestTopicsThatMayNotMeetAreRefused(t *testing.T) {
	named := []string{"in1", "out1", "dead1", "in2", "out2", "dead2", "features"}
	made := []string{
		"nearline.features.item.updates", "nearline.features.item.state", "nearline.attempts.nearline-one", "nearline.attempts.nearline-features-item",
		"nearline.progress.nearline-two", "dead1.replayed", "features.replayed",
	}
	// Events may come from results and dead letters, as long as they do not go round, and several may write results or dead letters.
	allowed := map[string]bool{
		"in1=in2": true, "in1=out2": true, "in1=dead2": true, "out1=in2": true, "out1=out2": true, "dead1=in2": true, "dead1=dead2": true,
		"dead1=features": true, "in2=features": true, "dead2=features": true,
	}
	for i, a := range named {
		for _, b := range append(named[i+1:len(named):len(named)], made...) {
			if b == a+".replayed" { // it moves along
				continue
			}
			_, _, err := Parse("meet.yaml", []byte(twoPipelines("", "nearline-one", map[string]string{a: b})))
			if refused := err != nil; refused == allowed[a+"="+b] {
				t.Errorf("%s is %s: got %v, want it allowed: %v", a, b, err, allowed[a+"="+b])
			}
			if err != nil && !strings.Contains(err.Error(), b) {
				t.Errorf("%s is %s: got %v, want the topic named", a, b, err)
			}
		}
	}
	if _, _, err := Parse("meet.yaml", []byte(twoPipelines("", "nearline-one", nil))); err != nil {
		t.Errorf("apart: got %v, want none", err)
	}
}

func TestTopicsThatBrokersTakeForOneAreRefused(t *testing.T) {
	for _, c := range []struct {
		topics map[string]string
		want   string
	}{
		{map[string]string{"out1": "a.b", "out2": "a_b"}, `pipelines[1].output.topic is "a_b": pipelines[0].output.topic has "a.b" (output), and brokers refuse names that differ in dots and underscores alone`},
		{map[string]string{"out1": "nearline_features.item.state"}, `pipelines[0].output.topic is "nearline_features.item.state"`},
		{map[string]string{"in1": "__consumer_offsets"}, `pipelines[0].input.topic is "__consumer_offsets": brokers keep their own records there`},
		{map[string]string{"dead1": strings.Repeat("d", 245)}, "pipelines[0].dead_letters has 245 characters: want at most 240"},
		{map[string]string{"features": strings.Repeat("d", 245)}, "features.dead_letters has 245 characters: want at most 240"},
	} {
		if _, _, err := Parse("meet.yaml", []byte(twoPipelines("", "nearline-one", c.topics))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %s", c.topics, err, c.want)
		}
	}
}

func TestGroupsOfViewsAreNobodyElses(t *testing.T) {
	for group, want := range map[string]string{
		"nearline-features-item":                      "view item has that group",
		"nearline-features-item-store-redis-00000000": "groups that fill the store of view item begin so",
		"nearline-two":                                "pipelines[0] has that group",
		"nearline-features-items":                     "",
	} {
		_, _, err := Parse("groups.yaml", []byte(twoPipelines("", group, nil)))
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", group, err, want)
		}
	}
}

func TestTheNameOfAReplicaIsBounded(t *testing.T) {
	for replica, ok := range map[string]bool{
		"pod-0.reviews": true, strings.Repeat("r", 240): true, strings.Repeat("r", 241): false, "a b": false, "a/b": false, "a:b": false, "ä": false, "a\x1b[2J": false,
	} {
		if _, _, err := Parse("replica.yaml", []byte(twoPipelines(replica, "nearline-one", nil))); (err == nil) != ok {
			t.Errorf("%.20q of %d bytes: got %v, want it allowed: %v", replica, len(replica), err, ok)
		}
	}
}
