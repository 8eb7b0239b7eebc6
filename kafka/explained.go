package kafka

import "errors"

// Explained says that an error says itself what to look at: a refusal, what may be over in a moment, or a port that ends connections without an answer.
func Explained(err error) bool {
	_, silent := errors.AsType[*unanswered](err)
	return silent || Passing(err) || Refused(err)
}
