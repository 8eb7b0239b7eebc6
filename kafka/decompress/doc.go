// Package decompress decompresses what a Kafka client fetches, within a bounded memory, whatever a producer has packed into a
// batch. What became of the records that did not fit it leaves to the members.
package decompress
