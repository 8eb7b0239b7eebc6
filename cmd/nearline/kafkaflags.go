package main

import (
	"github.com/spf13/cobra"

	"nearline/internal/config"
	"nearline/internal/dev"
	"nearline/kafka"
)

// kafkaFlags are how a command without a configuration reaches a topic.
func kafkaFlags(c *cobra.Command, fallback string) (connection *kafka.Connection, topic *string) {
	topic = c.Flags().String("topic", fallback, "`NAME` of the topic")
	return kafkaFlag(c), topic
}

// kafkaFlag is how a command reaches a cluster without a configuration. The connection is complete before the command runs.
func kafkaFlag(c *cobra.Command) *kafka.Connection {
	connection := new(kafka.Connection)
	brokers := c.Flags().StringSlice("kafka", []string{dev.DefaultListen}, "brokers to ask first, `HOST:PORT`")
	file := c.Flags().String("kafka-config", "", "take brokers, TLS and login from the section kafka of this `FILE`, a configuration or that section alone")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if *file == "" {
			*connection = kafka.Config{Brokers: *brokers}.Connection() // which has words where the port wants more
			return nil
		}
		section, hides, err := config.LoadKafka(*file)
		if err := veiling(c, hides, err); err != nil {
			return err
		}
		*connection = section.Connection()
		if c.Flags().Changed("kafka") {
			connection.Brokers = *brokers
		}
		return nil
	}
	return connection
}
