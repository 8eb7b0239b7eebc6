package main

import (
	"path/filepath"
	"strings"
	"testing"

	"nearline/consumers"
	"nearline/internal/dev"
)

// A topic of updates from which brokers would delete is named with the command that mends it; one as the service makes it is not.
func TestCheckNamesATopicThatMayLoseUpdates(t *testing.T) {
	for name, settings := range map[string]map[string]string{"of an older release": {"retention.ms": "604800000"}, "as it is made": consumers.NewTopic{Updates: true}.Settings()} {
		t.Run(name, func(t *testing.T) {
			topics := []dev.Topic{{Name: "nearline.features.item.updates", Partitions: 1, Settings: settings}}
			for _, topic := range []string{"events", "dead"} {
				topics = append(topics, dev.Topic{Name: topic, Partitions: 1, Retention: 1 << 20})
			}
			path := filepath.Join(t.TempDir(), "nearline.yaml")
			write(t, path, `
kafka: {brokers: ["`+startBroker(t, topics...)+`"], attempts_topic: "off"}
features: {views: [{name: item, key: item_id, fields: [{name: n, count: {}}]}]}
pipelines:
  - {name: events, input: {topic: events}, steps: [{aggregate: {view: item}}], dead_letters: dead}
`)
			r := execute(t, "", "check", "--config", path)
			r.ok(t)
			named := strings.Contains(r.out, "note   topic nearline.features.item.updates") && strings.Contains(r.out, "kafka-configs.sh") &&
				strings.Contains(r.out, "--add-config message.timestamp.type=LogAppendTime,retention.ms=-1")
			if named != (name == "of an older release") {
				t.Errorf("check says\n%s", r.out)
			}
			listed := execute(t, "", "topics", "--config", path)
			if want := strings.Contains(listed.out, "until read, and 7 days"); want == (name == "of an older release") {
				t.Errorf("topics says\n%s", listed.out)
			}
		})
	}
}
