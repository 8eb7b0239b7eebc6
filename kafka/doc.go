// Package kafka makes every Kafka client of this program, from one value that says how to reach a cluster and as whom. What is read and
// written through a client it leaves to those who ask for one. What any client fetches is bounded by its folder decompress.
package kafka
