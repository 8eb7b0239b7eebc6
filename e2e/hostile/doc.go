// Package hostile has the tests of records that hurt, on a real Kafka: what becomes of them, and how they come back from their
// topic once they are dead letters.
package hostile
