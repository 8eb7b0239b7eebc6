// Package consumers owns the members of consumer groups: each with one Kafka client of its own, which it polls, publishes
// through, and ends cycles with, in a transaction or without. It knows the broker's errors and says which of them pass.
//
// What the bytes mean, what is done with them, and how often, is the business of others: a member implements
// pipeline.Source and is driven by the cycle.
package consumers
