package pipeline

import "time"

// Row is one event on its way through the steps: what the schema read from the record, what the steps added, or
// why it goes no further.
type Row struct {
	// Record is the source. Offline rows have one too, with the file as the topic and the line as the offset.
	Record *Record
	// ID is the event's own id, "" when it has none; then its coordinates name it.
	ID string
	// Text is what text models read.
	Text string
	// Read are the values at the paths that the steps asked the decoder for, in that order; Null where the event has none. Nil
	// when no step asked for any.
	Read []Value
	// Copied are the fields that go through to the result unchanged, in the config's order. Absent ones are left out.
	Copied []Field
	// Features are what lookups found, as columns of the result.
	Features []Field
	// Predictions are what the steps answered, in the order of the steps.
	Predictions []Prediction
	// Beside are further records that take effect together with the row's result, unless a fault ends the row.
	Beside []Output
	// Fault ends the row: steps pass it by, and it becomes a dead letter.
	Fault *Fault
}

// Prediction is what one model says of one row: named, typed columns.
type Prediction struct {
	Model   string
	Version int
	// Columns in the order in which the model's configuration names its heads, for example
	// sentiment {label, score} and helpfulness.
	Columns []Field
	// At is when the model answered.
	At time.Time
}
