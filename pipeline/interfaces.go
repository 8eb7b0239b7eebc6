package pipeline

import "context"

// Limits bound what one cycle takes. Zero means no bound of that kind.
type Limits struct {
	Records int
	Bytes   int
}

// Source is one member of a consumer group, as the cycle needs it: polled, then published to, then ended, over and over.
// Not safe for concurrent use: one cycle owns it.
type Source interface {
	// Poll waits for at least one record, then takes only what is already buffered, up to the limits. What it
	// returns stays in flight until Commit or Abort; polling again before either is a broken promise.
	// An error means that the source is of no more use.
	Poll(ctx context.Context, limits Limits) ([]*Record, error)
	// Publish sends the outputs in order, asynchronously, and returns when every one of them is acknowledged or
	// refused. It is called once the work on the records is done, even where there are no outputs: a source may have others wait for that since Poll. A *RefusedError names those that are at fault themselves; any other error is the broker's.
	Publish(ctx context.Context, outputs []Output) error
	// Commit ends the cycle: outputs and offsets at once. An error that wraps ErrRebalanced says that it was aborted, and
	// that the source is whole. After any other nobody knows what happened: the source is of no more use, and a new one
	// resumes from the committed offsets.
	Commit(ctx context.Context) error
	// Abort ends the cycle as if it had not been: its records come again. After an error the source is of no more use.
	Abort(ctx context.Context) error
	// Close leaves. A static member stays in its group until the session times out.
	Close()
}

// RefusedError says that the broker refused records for their own sake, by index of the outputs handed to Publish.
type RefusedError struct {
	// Guilty were refused alone, each with its reason.
	Guilty map[int]error
	// Suspect were refused together with others: one of them is at fault, and which is not known. Publishing them
	// one by one tells.
	Suspect map[int]error
}

func (e *RefusedError) Error() string {
	for _, err := range e.Guilty {
		return "broker refused a record: " + err.Error()
	}
	for _, err := range e.Suspect {
		return "broker refused a batch of records: " + err.Error()
	}
	return "broker refused records"
}

// Decoder turns a record's bytes into a row. Implementations are safe for concurrent use.
type Decoder interface {
	// Decode reads record.Value, which is never nil. The fault says what is wrong with the record; the row is then
	// of no use.
	Decode(record *Record) (*Row, *Fault)
}

// Step adds to rows: a prediction, features, an aggregate. Implementations are safe for concurrent use, unless they say that they are Ordered or a Keeper:
// members, requests and chunks of a file may share one.
type Step interface {
	// Name of the step, for metrics and errors, such as "predict sentiment".
	Name() string
	// Run works on all rows of a cycle that have no fault. A row that fails gets a Fault; an error is for what is no
	// row's fault, and aborts the cycle. It must not return before all that it started has ended.
	Run(ctx context.Context, rows []*Row) error
}

// Ordered is a step whose effect depends on the order of rows, such as one that puts the last value of a key. It runs on all rows in their order, by one
// goroutine at a time, and so do the steps that follow it.
type Ordered interface {
	Step
	// Ordered does nothing: it says so.
	Ordered()
}

// Keeper is a step with a state of its own, which changes with the cycle: all at once with its commit, or not at all.
type Keeper interface {
	Step
	// Changes are what Run has changed since the last Keep or Drop, as records that take effect with the cycle.
	Changes() ([]Output, error)
	// Keep makes the changes last: the cycle was committed.
	Keep()
	// Drop undoes them: the cycle was not committed, or nobody knows. Also without any.
	Drop()
}

// Encoder writes the value of a row's result. Implementations are safe for concurrent use.
type Encoder interface {
	// Append appends the result of a row without a fault to dst, and returns the extended buffer. After a fault the
	// buffer is of no use. It keeps neither the buffer nor the row.
	Append(dst []byte, row *Row) ([]byte, *Fault)
}

// Builder makes the records to publish. Implementations are safe for concurrent use.
type Builder interface {
	// Result builds the output of a row without a fault: it encodes, and checks the size. An output without a topic is not
	// published: the row's effects are those that its steps put beside it.
	Result(row *Row) (Output, *Fault)
	// DeadLetter builds the dead letter of a record; it always can, with a reference in place of a record that is too
	// large for the topic.
	DeadLetter(record *Record, fault *Fault, attempt int) Output
	// Tombstone passes a tombstone on.
	Tombstone(record *Record) Output
}
