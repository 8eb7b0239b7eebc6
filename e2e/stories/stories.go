// Package stories has the tests that read as stories: what somebody who runs the service lives through, on a real Kafka of three
// brokers, with the built binary as child processes. All stories share one cluster; each has topics and a group of its own, and
// ends with the same question: has every event exactly one effect, in the order of its key?
package stories
