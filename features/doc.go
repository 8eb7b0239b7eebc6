// Package features has what a stream learns, by key: views that are declared in the configuration, rolling aggregates that keep them, and
// the stores that they are looked up in.
//
// A view's way: a pipeline's step (Emit) says what each event means for it, in an update keyed as the view is, within the transaction of the
// event's result. The view's own pipeline (Table) adds updates to the state of their keys, and publishes each changed state to a
// compacted topic, within the transaction of their offsets. What is committed there is put into a Store (Sink), as absolute
// values with their offsets. A Replay adds updates up once more, by the same code, for whoever asks what was known at some time in the past.
//
// It owns what views mean. It has no client of Kafka; stores are folders below it.
package features
