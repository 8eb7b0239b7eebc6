package pipeline

import (
	"errors"
	"fmt"
)

// notes are what a cycle remembers of records that the broker refused, until they are committed as dead letters. They
// outlive the source. A noted record whose partition goes to another member is never committed here: what such
// records leave behind is forgotten at maxNotes, at the price of finding the guilty once more.
type notes map[Coordinates]*note

const maxNotes = 1 << 16

type note struct {
	fault *Fault // set once the record is known to be guilty
	// unstamped has what is made of the record carry the time of writing: a topic refused the record's own.
	unstamped bool
	alone     bool // to be published alone, to find out
	attempt   int
}

// take notes of a refusal and says what the cycle is to be given back for. Another error comes back as it is.
func (n *notes) take(err error, outputs []Output, rows []*Row) error {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	faulty := make(map[*Record]bool)
	for _, row := range rows {
		if row.Fault != nil {
			faulty[row.Record] = true
		}
	}
	var fault *Fault
	for i, cause := range refused.Guilty {
		record := outputs[i].Source
		switch {
		case record == nil:
			return &refusedStateError{outputs[i].Topic, len(outputs[i].Value), cause}
		case faulty[record]:
			// Its dead letter was refused. There is no further place to put it, and it must not be lost.
			return &lostCauseError{record.Coordinates(), cause}
		case errors.Is(cause, ErrTimestamp) && !outputs[i].Timestamp.IsZero():
			note := n.again(record)
			note.unstamped, note.alone = true, false
			fault = Faultf(ClassRefused, StagePublish, "topic %s refused the input's timestamp: it is published again with the time of writing: %v", outputs[i].Topic, cause)
			continue
		}
		fault = Faultf(ClassRefused, StagePublish, "the broker refused the result: %v", cause)
		if outputs[i].Beside {
			fault = Faultf(ClassRefused, StagePublish, "the broker refused what goes to %s with the result: %v", outputs[i].Topic, cause)
		}
		note := n.again(record)
		note.fault, note.alone = fault, false
	}
	for i, cause := range refused.Suspect {
		record := outputs[i].Source
		if record == nil {
			return &refusedStateError{outputs[i].Topic, len(outputs[i].Value), cause}
		}
		n.again(record).alone = true
		fault = Faultf(ClassRefused, StagePublish, "the broker refused a batch of results: %v", cause)
	}
	if fault == nil {
		return err
	}
	return fault
}

// again notes one more attempt at a record.
func (n *notes) again(record *Record) *note {
	if *n == nil {
		*n = make(notes)
	}
	at := record.Coordinates()
	if (*n)[at] == nil {
		if len(*n) >= maxNotes {
			clear(*n)
		}
		(*n)[at] = &note{attempt: 1}
	}
	(*n)[at].attempt++
	return (*n)[at]
}

func (n notes) fault(record *Record) *Fault {
	if len(n) == 0 {
		return nil
	}
	if note := n[record.Coordinates()]; note != nil {
		return note.fault
	}
	return nil
}

func (n notes) suspect(record *Record) bool {
	if len(n) == 0 {
		return false
	}
	note := n[record.Coordinates()]
	return note != nil && note.alone
}

func (n notes) unstamped(record *Record) bool {
	if len(n) == 0 {
		return false
	}
	note := n[record.Coordinates()]
	return note != nil && note.unstamped
}

// attempt counts from 1.
func (n notes) attempt(record *Record) int {
	if note := n[record.Coordinates()]; note != nil {
		return note.attempt
	}
	return 1
}

func (n notes) clear(rows []*Row) {
	if len(n) == 0 {
		return
	}
	for _, row := range rows {
		delete(n, row.Record.Coordinates())
	}
}

// refusedStateError says that the state of a key cannot be published. No record is guilty of it.
type refusedStateError struct {
	topic string
	bytes int
	cause error
}

func (e *refusedStateError) Error() string {
	return fmt.Sprintf("the broker refuses a state of %d bytes in topic %s; if that is too large, raise its max.message.bytes: %v", e.bytes, e.topic, e.cause)
}

func (e *refusedStateError) Unwrap() []error { return []error{ErrPermanent, e.cause} }

// lostCauseError says that even the dead letter of a record cannot be published.
type lostCauseError struct {
	at    Coordinates
	cause error
}

func (e *lostCauseError) Error() string {
	return "the broker refuses even the dead letter of " + e.at.String() + ": " + e.cause.Error() +
		": raise the dead letter topic's max.message.bytes"
}

func (e *lostCauseError) Unwrap() []error { return []error{ErrPermanent, e.cause} }
