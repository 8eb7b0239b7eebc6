package consumers

import (
	"slices"
	"testing"
	"time"

	"nearline/pipeline"
)

func TestTopicsTimesAreReadFromTheirSettings(t *testing.T) {
	const forever = "9223372036854775807"
	for name, c := range map[string]struct {
		settings map[string]string
		want     pipeline.TopicTimes
	}{
		"Kafka 4": {map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000", "message.timestamp.type": "CreateTime",
			"message.timestamp.before.max.ms": forever, "message.timestamp.after.max.ms": "3600000"}, pipeline.DefaultTopicTimes()},
		"Kafka 3.6": {map[string]string{"retention.ms": "3600000", "message.timestamp.before.max.ms": forever, "message.timestamp.after.max.ms": forever,
			"message.timestamp.difference.max.ms": "60000"}, pipeline.TopicTimes{Kept: time.Hour, Before: time.Minute, After: time.Minute}},
		"Kafka 2.5": {map[string]string{"retention.ms": "-1", "message.timestamp.difference.max.ms": forever}, pipeline.TopicTimes{}},
		"compacted": {map[string]string{"cleanup.policy": "compact", "retention.ms": "1000"}, pipeline.TopicTimes{}},
		"compacted, and deleted by time": {map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "1000"},
			pipeline.TopicTimes{Kept: time.Second}},
		"stamped by brokers": {map[string]string{"message.timestamp.type": "LogAppendTime"}, pipeline.TopicTimes{Brokers: true}},
	} {
		if got := timesOf(c.settings); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestUpdatesAreDeletedOnlyWhenTheyAreReadAndOld(t *testing.T) {
	for name, c := range map[string]struct{ start, committed, young, want int64 }{
		"read and old":                       {10, 50, 40, 40},
		"old, and not all read":              {10, 20, 40, 20},
		"nothing committed, or that expired": {10, -1, 40, 10},
		"committed before the start":         {10, 5, 40, 10},
		"nothing old":                        {10, 50, 10, 10},
		"it is not known what is young":      {10, 50, -1, 10},
	} {
		if got := deletable(c.start, c.committed, c.young); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestATopicOfUpdatesIsMendedWhereItWouldLoseSome(t *testing.T) {
	updates := NewTopic{Name: "u", Updates: true}
	older := map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "message.timestamp.type": "CreateTime", "segment.ms": "1"}
	if got, want := updates.Mends(Topic{Settings: older}), []string{"message.timestamp.type=LogAppendTime", "retention.ms=-1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := updates.Mends(Topic{Settings: updates.Settings()}); len(got) > 0 {
		t.Errorf("got %v of a topic as it is made, want nothing to mend", got)
	}
	if got := updates.Mends(Topic{}); len(got) > 0 {
		t.Errorf("got %v of a topic whose settings may not be read, want nothing", got)
	}
	if got := (NewTopic{Name: "s", Compact: true}).Mends(Topic{Settings: older}); len(got) > 0 {
		t.Errorf("got %v of another topic, want nothing", got)
	}
}
