package kafka

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestErrorsThatSayWhatToLookAtAreKnown(t *testing.T) {
	for _, err := range []error{&refusal{}, &passing{}, &unanswered{}, kerr.SaslAuthenticationFailed} {
		if !Explained(fmt.Errorf("ask: %w", err)) {
			t.Errorf("%T is not known to explain itself", err)
		}
	}
	if Explained(errors.New("connection refused")) || Explained(nil) {
		t.Error("want that an error of the network explains nothing")
	}
}
