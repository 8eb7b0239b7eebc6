// Package pipeline is the heart: the vocabulary that the rooms share (Record, Row, Prediction, Output, Fault), the
// interfaces of what it needs from them, and the one cycle that takes records from a topic to their results.
//
// It knows nothing of Kafka's client, of formats or of models: members of consumer groups, schemas, models and producers
// implement its interfaces, and internal/service wires them together.
package pipeline
