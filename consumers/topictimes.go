package consumers

import (
	"math"
	"strconv"
	"strings"
	"time"

	"nearline/pipeline"
)

// timesOf is what a topic with these settings does with timestamps. A setting that a broker does not know bounds nothing.
func timesOf(settings map[string]string) pipeline.TopicTimes {
	times := pipeline.TopicTimes{
		Before:  millis(settings["message.timestamp.before.max.ms"]),
		After:   millis(settings["message.timestamp.after.max.ms"]),
		Brokers: settings["message.timestamp.type"] == "LogAppendTime",
	}
	// What brokers before 3.6 have for both directions, and those before 4.0 too.
	if most := millis(settings["message.timestamp.difference.max.ms"]); most > 0 {
		for _, bound := range []*time.Duration{&times.Before, &times.After} {
			if *bound == 0 || *bound > most {
				*bound = most
			}
		}
	}
	if policy := settings["cleanup.policy"]; policy == "" || strings.Contains(policy, "delete") {
		times.Kept = millis(settings["retention.ms"])
	}
	return times
}

// millis reads a setting; 0 is one that is missing, unlimited, or beyond what a time.Duration holds. A bound of zero is a nanosecond.
func millis(setting string) time.Duration {
	ms, err := strconv.ParseInt(setting, 10, 64)
	if err != nil || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0
	}
	return max(time.Duration(ms)*time.Millisecond, 1)
}
