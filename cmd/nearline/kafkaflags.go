package main

import (
	"github.com/spf13/cobra"

	"nearline/internal/dev"
	"nearline/kafka"
)

// kafkaFlags are how a command without a configuration reaches a topic.
func kafkaFlags(c *cobra.Command, fallback string) (connection *kafka.Connection, topic *string) {
	topic = c.Flags().String("topic", fallback, "`NAME` of the topic")
	return kafkaFlag(c), topic
}

// kafkaFlag is how a command reaches a cluster without a configuration.
func kafkaFlag(c *cobra.Command) *kafka.Connection {
	connection := new(kafka.Connection)
	c.Flags().StringSliceVar(&connection.Brokers, "kafka", []string{dev.DefaultListen}, "brokers to ask first, `HOST:PORT`")
	return connection
}
