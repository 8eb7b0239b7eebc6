// Package kafkatest proves promises about Kafka in virtual time: a fake cluster inside a testing/synctest bubble, lines
// to it that can be cut, delayed and answered wrongly, a load of numbered records, and a checker that reads input and
// outputs back and knows what must have become of every one of them.
//
// It knows the vocabulary of the pipeline but no room: tests wire the members that they put to the test. Its parts need
// the build tag synctests, with which the Kafka client's locks block durably, as a bubble demands.
package kafkatest
