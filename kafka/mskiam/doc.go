// Package mskiam has the AWS credentials that brokers of Amazon MSK are shown. Where they come from is the AWS SDK's to know: variables, files, and roles of
// the machine. Signing with them is the Kafka client's.
package mskiam
