// Package columns says what a model of tables reads: each of its columns is made of a value of the event, of a looked-up view or of an earlier
// prediction, in the way that the model was trained on. Candidates are the rows of a table that a model ranks, made once for all events of a cycle.
//
// It stands above features, whose views it looks up, and knows no model: what that wants it is told as pipeline.Column.
package columns
