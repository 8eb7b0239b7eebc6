package kafka

import (
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka/decompress"
)

// FetchErrors are the errors of a poll that do not pass by themselves. A batch for which there is no room yet is no error of the reader's: the client fetches
// it again once what was read before is let go.
func FetchErrors(fetches kgo.Fetches) []kgo.FetchError {
	return slices.DeleteFunc(fetches.Errors(), func(e kgo.FetchError) bool { return errors.Is(e.Err, decompress.ErrFull) })
}

// FetchError is the first of FetchErrors, or nil.
func FetchError(fetches kgo.Fetches) error {
	for _, e := range FetchErrors(fetches) {
		return e.Err
	}
	return nil
}
